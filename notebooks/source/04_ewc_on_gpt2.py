# %% [markdown]
# # 4 · EWC on GPT-2
#
# **A language model learned one kind of text and now learns another. What can it keep, and at what cost?**
#
# You will
#
# - measure perplexity so that it means something;
# - read a retention–learning curve, not one lucky number;
# - protect a model in your own training script.
#
# “GPT-2” is a role. In `tiny` a GPT-2 with a million weights plays it, made for this course; in `laptop` SmolLM2-135M;
# in `full` GPT-2 itself. “wikitext” and “dialogue” are generated texts in `tiny` and `laptop`.

# %% [markdown]
# All cells take at most 1 minute in `tiny` and 5 in `laptop`; in `full` the time was not measured.
#
# Previous: [3 · Elastic weight consolidation on DialoGPT](03_ewc_on_dialogpt.ipynb) · Next: [5 · LoRA](05_lora.ipynb)
#
# {{colab badge}}

# %% tags=["colab"]
# {{colab install}}

# %%
import copy
import importlib.util
import math
import tempfile

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown
from tqdm.auto import tqdm
from transformers import PrinterCallback, TrainingArguments

import cfhelpers as cf
from cfhelpers import checks, widgets
from cfhelpers.evaluation.generation import own_texts
from cfhelpers.metrics import mean_and_interval
from cfhelpers.models import load_model
from cfhelpers.tasks.encoding import encode_task

run = cf.start(seed=0)

# %% [markdown]
# ## Predict
#
# A model learns to write encyclopedia entries, then small talk. Double-click this cell and write down:
#
# 1. Perplexity (how unsure it is of each next word) on the encyclopedia after the small talk: the same, a little worse,
#    twice as large?
# 2. If you could keep 90 % of the old for 10 % of the new, would you?
# 3. Must you still have the old texts to protect what was learned from them?

# %%
plain = cf.methods.Naive()
taught = cf.learn_once(run, "gpt2", ["wikitext", "dialogue"], plain, stop_after=1)
model, tokenizer, plan = taught.model, taught.tokenizer, taught.plan
for task in taught.tasks:
    n_tokens = sum(map(len, task.train["input_ids"]))
    print(f"{task.name}: {len(task.task.train)} texts to learn from, {n_tokens} tokens; for instance")
    for text in task.task.train["text"][:2]:
        print("    " + text.replace("\n", "\n    "), "\n")

# %% [markdown]
# ## Perplexity: one exponential, at the end
#
# A language model gives each next token a probability. The mean of $-\log p$ over all tokens is its loss in **nats**;
# the exponential of that mean is the **perplexity**: among how many equally likely tokens the model seems to choose.
#
# $$\text{perplexity} = \exp\left(\frac{\text{total nats}}{\text{total predicted tokens}}\right)$$
#
# | symbol | in the code |
# |---|---|
# | total nats | sum over *all* batches of loss × targets |
# | predicted tokens | `labels[:, 1:] != -100` |

# %% [markdown]
# The mean of the batches' perplexities changes with the batch size. The first token of a block is predicted from
# nothing: no target.

# %% [markdown]
# ### Exercise 4.1 · perplexity ★★☆ 15 minutes
#
# `model(**batch).loss` is a mean over targets; the model shifts the labels. Padding has the label −100. The model may
# arrive in training mode. Move each batch to its device.
#
# <details><summary>Hint: another number at every run</summary>
# Dropout. <code>model.eval()</code>
# </details>
# <details><summary>Hint: it changes with the batch size</summary>
# You average over batches. Which batch has more targets?
# </details>


# %% exercise="4.1"
def perplexity(model: torch.nn.Module, batches: list[dict[str, torch.Tensor]]) -> float:
    """Return exp(total nats / total targets) over all batches; leave no gradients behind."""
    ### BEGIN SOLUTION
    model.eval()
    device = next(model.parameters()).device
    total_nats, total_targets = 0.0, 0
    for batch in batches:
        n_targets = int((batch["labels"][:, 1:] != -100).sum())
        with torch.no_grad():
            loss = model(**{name: tensor.to(device) for name, tensor in batch.items()}).loss
        total_nats += float(loss) * n_targets
        total_targets += n_targets
    return math.exp(total_nats / total_targets)
    ### END SOLUTION


# %%
perplexity = checks.language.perplexity(perplexity)

# %% graded="4.1" points=2
checks.require_solved("4.1")

# %% [markdown]
# <details><summary>Solution</summary>
#
# {{solution 4.1}}
#
# The common mistake takes the exponential of each batch and averages. A short last batch then weighs as much as a full
# one, and hard batches weigh more than easy ones, because the exponential is steep.
# </details>

# %% [markdown]
# ### A perplexity belongs to a context
#
# A token is easier to predict after sixty tokens than after none. So say how long the blocks were: here
# `plan.max_length` tokens, and every record states its own. Two perplexities also compare only under one tokenizer.

# %%
old, new = taught.tasks
for length in sorted({8, 16, 32, plan.max_length}):
    blocks = encode_task(old.task, tokenizer, max_length=length).batches("test", 16)
    print(f"context of {length:>3} tokens: perplexity on {old.name} {perplexity(model, blocks):.3f}")
for size in (16, 1):
    wrong = [perplexity(model, [batch]) for batch in old.batches("test", size)]
    print(f"mean of {len(wrong)} batches' perplexities instead, batches of {size:>2}: {np.mean(wrong):.3f}")

# %% [markdown]
# ## The baseline: read on
#
# The model that has learned the encyclopedia goes on with small talk, without any protection.

# %%
naive = taught.then(plain)

# %%
# alt: Perplexity on wikitext and on dialogue along the optimizer steps of naive training; the vertical line marks where
#  the dialogue begins. In `tiny` wikitext falls and dialogue rises left of it, and the other way round right of it.
cf.plots.learning_curves(naive.record)
plt.show()

# %% [markdown]
# ### What to notice
#
# - Both halves of the figure. In `tiny`, whose model was pretrained on a little of both, learning one domain worsens
#   the other, *also the one that comes later*. A model that starts far from both may first improve on both.
# - When: most of the loss comes early, while the new domain is still improving fast.

# %% [markdown]
# Perplexities multiply, nats add up. From here on differences are in **nats per token**, the logarithm of perplexity.

# %% [markdown]
# ## Transfer, backward and forward, along the way
#
# **Backward transfer**: the old domain now, beside when it had just been learned; below zero is forgetting.
#
# **Forward transfer**: the new domain, beside a model that learns it *alone*, with the same budget. Did the first help
# with the second? (Lopez-Paz & Ranzato, 2017, compare *before* the second is learned: step 0.)

# %% [markdown]
# Stored runs, several seeds (each seed has texts and an order of its own), measured in `tiny`. Bands are **95 %
# intervals**: where the mean over many more seeds would lie, 19 times of 20.

# %%
# alt: Two panels, naive training left and EWC right. Backward and forward transfer in nats per token along the
#  optimizer steps on dialogue, with bands over seeds.
small = cf.results.load("04", profile="tiny")
small_reported = [record for record in small if record.extra["stage"] == "report"]
pair = [record for record in small_reported if record.extra["experiment"] == "two domains"]
(alone,) = [record for record in small_reported if record.extra["experiment"] == "other order"]
shown = [next(r for r in pair if r.method["name"] == "naive"), cf.results.chosen(pair)["ewc"]]
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.4), layout="constrained", sharey=True)
for ax, record in zip(axes, shown, strict=True):
    cf.plots.transfer_curves(record, alone, ax=ax).get_legend().remove()
    ax.set_title(record.method["name"])
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
plt.show()

# %%
first, second = shown[0].tasks
alone_end, alone_later = alone.scores(second, after=second), alone.scores(second)
forward = [mean_and_interval(np.log(alone_end / record.scores(second))) for record in shown]
rises = np.log(alone_later / alone_end), np.log(shown[0].scores(first) / shown[0].scores(first, after=first))
print(f"forward transfer at the end, test texts: naive {forward[0]:+.3f} nats, EWC {forward[1]:+.3f}")
print(f"learning {second} raises {first} by {mean_and_interval(rises[1]):.2f} nats (naive)")
print(f"in the other order, {first} raises {second} by {mean_and_interval(rises[0]):.2f}")
print(f"the second minus the first, seed by seed: {mean_and_interval(rises[0] - rises[1]):+.3f}")

# %% [markdown]
# If the last interval has zero in it, these seeds cannot tell the two orders apart.

# %% [markdown]
# ## One spring, live
#
# EWC ties each weight to where it was, as strongly as the Fisher says that it matters (chapter 3): a penalty with the
# strength λ. Its labels are drawn from the model (`variant="sample"`, chapter 2), one answer at a time.

# %% [markdown]
# λ comes from a stored **sweep**, a row of strengths. There it had the lowest mean of old and new nats, both weighing
# the same, on validation texts and with seeds that are not shown. Another weighting would choose another λ.
# (In `laptop` the live runs are shorter than the stored ones: there it is the guess explained below.)

# %%
stored = cf.results.load("04", profile=run.profile, experiment="two domains")
reported = [record for record in stored if record.extra["stage"] == "report"]
chosen = cf.results.chosen(reported)
bounds = {record.method["name"]: record for record in reported if record.method["name"] in ("naive", "joint")}
strength = chosen["ewc"].method["strength"]
if plan != cf.Plan(**chosen["ewc"].plan):  # another training, or model, has another scale
    trial = cf.EWC(1.0, variant="sample", max_examples=8)
    trial.protect(model, taught.tasks[0].batches("train"))
    to_learn = taught.tasks[1].batches("train", plan.batch_size)
    strength = cf.suggest_strength(model, trial, to_learn, learning_rate=plan.learning_rate)
protected = taught.then(cf.EWC(strength, variant="sample"))


# %%
# alt: Two panels of perplexity along the optimizer steps, naive training left and EWC right. In
#  `tiny` wikitext rises steeply on the left after the vertical line, and little on the right.
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.2), layout="constrained", sharey=True)
for ax, learned in zip(axes, (naive, protected), strict=True):
    cf.plots.learning_curves(learned.record, ax=ax)
    ax.set_title(learned.record.method["name"], pad=20)
plt.show()

# %% [markdown]
# ## Not a number: a curve
#
# With λ you choose where to stand between keeping and learning. “EWC with λ = 10 is better than L2 (`l2sp`, all weights
# tied alike) with λ = 1” may only mean that they stand at different places.

# %% [markdown]
# So draw all strengths: the **retention–learning curve**. A method is better where its curve lies further up and right.
# Every point is several seeds, with 95 % intervals (measured in `tiny`).


# %%
def sweep(name: str) -> list[cf.Record]:
    """Return a method with all its strengths, measured in ``tiny``."""
    return [record for record in pair if record.extra["sweep"] == name]


both = {record.method["name"]: record for record in pair if record.method["name"] in ("naive", "joint")}

# %%
# alt: Retention-learning curves. Nats per token on wikitext against nats per token on dialogue, both axes turned round,
#  for every strength of EWC and of L2, with naive and joint training as bounds and intervals over seeds.
curve = [*sweep("ewc"), *sweep("l2sp"), *both.values()]
cf.plots.retention_learning_curve(curve)
plt.show()

# %% [markdown]
# ### What EWC removes, and what it gives up
#
# On test texts, seed by seed: which share of naive training's *rise* on the old domain does the chosen λ remove, and
# which share of naive training's *gain* on the new domain does it give up?


# %%
def rise_and_gain(record: cf.Record) -> np.ndarray:
    """Return for each seed the old domain's rise and the new domain's gain during the second task, in nats."""
    old, new = record.tasks
    rise = np.log(record.scores(old) / record.scores(old, after=old))
    return np.stack([rise, np.log(record.scores(new, after=old) / record.scores(new))], axis=1)


naive_rise, naive_gain = rise_and_gain(bounds["naive"]).T
ewc_rise, ewc_gain = rise_and_gain(chosen["ewc"]).T
removed, given_up = (
    mean_and_interval(100 - 100 * ours / theirs) for ours, theirs in ((ewc_rise, naive_rise), (ewc_gain, naive_gain))
)
print(f"naive: rise {mean_and_interval(naive_rise):.3f} nats, gain {mean_and_interval(naive_gain):.3f}")

# %%
Markdown(
    f"EWC with λ = {chosen['ewc'].method['strength']:g} removes **{removed:.0f} %** of the rise and gives up "
    f"**{given_up:.0f} %** of the gain (measured in `{bounds['naive'].profile}`)."
)

# %% [markdown]
# ### At the same perplexity on the new domain
#
# Is L2's curve worse, or does L2 only stand elsewhere? Read one method's curve where the other's chosen point is: by
# how many nats does it lie higher, that is worse, on the old domain?


# %%
def gap(name: str, other: str) -> str:
    """Say how much higher the other's curve, from naive training on, lies on the old domain at this chosen point."""
    point = cf.plots.old_and_new_nats(chosen_pair[name])
    found = mean_and_interval(cf.plots.old_nats_at([both["naive"], *sweep(other)], point[:, 1]) - point[:, 0])
    return f"{found:+.3f}" + (" *" if found.low > 0 or found.high < 0 else "")


chosen_pair = cf.results.chosen(pair)
gaps = {"L2's curve at EWC's point": gap("ewc", "l2sp"), "EWC's curve at L2's point": gap("l2sp", "ewc")}
pd.Series(gaps, name="higher on the old domain, nats").to_frame()

# %% [markdown]
# A star: an interval without zero, a difference that these seeds show. Between two strengths a curve is taken as
# straight, which favors the method whose own point it is. The gap is taken within each seed; the bars in the figure
# overlap because some seeds have harder texts.

# %%
explorer = widgets.retention(curve)
explorer

# %% [markdown]
# The figure above is the widget's static form. Choose a method, and move along its strengths, weakest first.
#
# **What it shows.** On these two domains and this model, what each strength costs and brings.
#
# **What it does not show.** Other budgets: with more steps the weak strengths drift further. And no curve says which
# point *you* should want; that depends on what the model is for.

# %% [markdown]
# ## How strong? A first guess
#
# A sweep needs somewhere to begin. At the anchor the penalty's gradient is zero, so no ratio can be read there.
# `suggest_strength` takes a few plain steps on a copy, and asks which λ would make the penalty pull as hard as the new
# task does *at that point*.

# %%
guesses = {}
some = cf.EWC(1.0, variant="sample", max_examples=128)  # texts, out of all: enough for a guess
for method, name in ((some, "ewc"), (cf.methods.L2SP(1.0), "l2sp")):
    method.protect(model, old.batches("train"))  # shows the method what to keep
    batches = new.batches("train", plan.batch_size)
    guesses[name] = cf.suggest_strength(model, method, batches, learning_rate=plan.learning_rate)
    grid = ", ".join(f"{each:g}" for each in sorted({r.method["strength"] for r in stored if r.extra["sweep"] == name}))
    print(
        f"{name:>5}: suggested λ = {guesses[name]:.2g}; of {grid} the sweep chose {chosen[name].method['strength']:g}"
    )

# %% [markdown]
# It is a guess, from seconds of work: the scale of $F$, of the loss and of the learning rate are in it. What you are
# willing to lose is not. Sweep around it, on validation data; elsewhere it has been far too low.

# %% [markdown]
# How many plain steps it takes, three, was itself chosen to come near this chapter's sweep in `tiny`: its agreement
# there is no test. Other tasks and models are.

# %% [markdown]
# ## Importance without a Fisher
#
# **Synaptic intelligence** (SI; Zenke et al., 2017) watches training itself: which weights made the loss fall?
#
# $$\omega_i = -\sum_t g_{i,t}\, \Delta\theta_{i,t}, \qquad \Omega_i = \frac{\max(\omega_i, 0)}{\Delta_i^2 + \xi}$$
#
# | symbol | in the code |
# |---|---|
# | $g_t$ | gradient *before* step $t$ |
# | $\Delta\theta_t$ | what step $t$ changed |
# | $\Delta$ | distance from the task's first to its last weights |
# | $\xi$ | `damping` |

# %% [markdown]
# **Memory aware synapses** (MAS; Aljundi et al., 2018) asks for no labels: the mean over texts of
# $|\partial \lVert f(x) \rVert^2 / \partial \theta_i|$, how much the outputs depend on a weight.

# %% [markdown]
# ### Exercise 4.2 · the path integral ★★☆ 15 minutes
#
# `weights` are T + 1 snapshots, `gradients` the T gradients before each step.
#
# <details><summary>Hint: I get negative importance</summary>
# Steps uphill count against a weight. Sum first, then clamp at zero.
# </details>
# <details><summary>Hint: I get inf</summary>
# A weight came back to where it was. What is ξ for?
# </details>


# %% exercise="4.2"
def path_importance(weights: list[torch.Tensor], gradients: list[torch.Tensor], damping: float) -> torch.Tensor:
    """Return max(ω, 0) / (Δ² + damping), shaped like the weights."""
    ### BEGIN SOLUTION
    omega = torch.zeros_like(weights[0])
    for before, after, gradient in zip(weights[:-1], weights[1:], gradients, strict=True):
        omega -= gradient * (after - before)
    return omega.clamp(min=0) / ((weights[-1] - weights[0]).square() + damping)
    ### END SOLUTION


# %%
path_importance = checks.language.path_importance(path_importance)

# %% graded="4.2" points=2
checks.require_solved("4.2")

# %% [markdown]
# <details><summary>Solution</summary>
#
# {{solution 4.2}}
#
# The common mistake multiplies the whole distance by one gradient. The gradient changes sign on the way; only step by
# step does the sum approach the fall of the loss.
# </details>

# %%
# Plain gradient descent on a bowl: the path integrals approach the fall of the loss as the steps become smaller.
steepness = torch.tensor([4.0, 1.0, 0.0])
weights, gradients = [torch.ones(3)], []
for _ in range(200):
    gradients.append(steepness * weights[-1])
    weights.append(weights[-1] - 0.01 * gradients[-1])
fall = steepness / 2 * (weights[0].square() - weights[-1].square())
importance = path_importance(weights, gradients, damping=1e-3)
omega = importance * ((weights[-1] - weights[0]).square() + 1e-3)
columns = {"steepness": steepness, "fall of the loss": fall, "ω": omega, "Ω": importance}
pd.DataFrame({name: values.tolist() for name, values in columns.items()}).abs().round(3)

# %% [markdown]
# ## Old data gone: let the model write
#
# EWC asks for data of the old task once, to estimate $F$. If they are gone, the model itself can still write them:
# draw texts from it *before* the new task, and take the Fisher of those. What it never writes is not protected.

# %%
for batch in own_texts(model, 3, length=plan.max_length, seed=1):
    for ids, real in zip(batch["input_ids"], batch["attention_mask"], strict=True):
        print("-", tokenizer.decode(ids[1 : real.sum()], skip_special_tokens=True).strip())

# %%
# alt: Nats per token on wikitext against dialogue for the chosen setting of each method: EWC, L2, synaptic
#  intelligence, MAS and EWC on the model's own texts, with naive and joint training as bounds and intervals over seeds.
(own,) = [record for record in small_reported if record.extra["experiment"] == "own texts"]
compared = [*cf.results.chosen(pair).values(), own]
cf.plots.retention_learning_curve([*compared, *both.values()])
plt.show()

# %%
named = {"naive": both["naive"], **chosen_pair, "ewc_on_generations": own, "joint": both["joint"]}
rows = {name: [f"{mean_and_interval(each):.3f}" for each in rise_and_gain(record).T] for name, record in named.items()}
table = pd.DataFrame.from_dict(rows, orient="index", columns=["wikitext, rise", "dialogue, gain"])
table.join(cf.tables.costs(named))

# %% [markdown]
# Nats per token after the second task against before it, test texts, measured in `tiny`. Same budget and equally many
# strengths for all; own texts took EWC's λ. Training is processor time with the importance, peak memory that of the
# whole process, stored the importance and the anchor.

# %% [markdown]
# Against EWC, seed by seed, in nats. Below zero is better than EWC; a star marks a difference that these seeds show:

# %%
cf.tables.differences({name: record for name, record in named.items() if name not in both}, "ewc")

# %%
removed_by = {
    name: mean_and_interval(100 - 100 * rise_and_gain(record)[:, 0] / rise_and_gain(both["naive"])[:, 0])
    for name, record in (("its own texts", own), ("the old data", chosen_pair["ewc"]))
}
for name, share in removed_by.items():
    print(f"with the Fisher of {name}, EWC removes {share:.0f} % of naive training's rise")

# %% [markdown]
# **What it does not show.** SI and MAS are points here, not curves. (Where weights hardly moved, Δ² is far below ξ, so
# SI divides all by the same ξ, and Ω ranks the weights as ω does.) A model that writes badly protects badly.

# %% [markdown]
# ## The Fisher in half the bytes
#
# EWC keeps a stiffness and an anchor for each weight, four bytes each. A stiffness need not be exact:
# `storage="bfloat16"` keeps it with 8 binary digits in place of 24. The anchor is never rounded. The same runs, side by
# side, at the λ chosen above, measured in `tiny`:

# %%
kept = {r.method.get("storage", "float32"): r for r in small_reported if r.extra["experiment"] == "half the bytes"}
n_weights, seeds = load_model("gpt2", "tiny").model.num_parameters(), kept["float32"].seeds
for name, record in kept.items():
    rise = mean_and_interval(rise_and_gain(record)[:, 0])
    print(f"{name:>8}: {record.stored_bytes / n_weights:.1f} bytes a weight, rise on the old domain {rise:.4f} nats")
gaps = [np.abs(np.log(kept["bfloat16"].matrix(seed) / kept["float32"].matrix(seed))).max() for seed in seeds]
print(f"largest difference in any score of {len(seeds)} seeds: {max(gaps):.0e} nats")

# %% [markdown]
# ## Three domains: one spring or one for each?
#
# EWC keeps a Fisher and an anchor for *each* old task. **Online EWC** (Huszár, 2018; Schwarz et al., 2018) keeps one of
# each: the newest anchor, and a decayed sum.
#
# $$F^*_t = \gamma\, F^*_{t-1} + F_t$$
#
# | symbol | in the code |
# |---|---|
# | $F_t$ | Fisher of task $t$, at the weights after it |
# | $\gamma$ | `decay`; below 1, old tasks make room |

# %% [markdown]
# ### Exercise 4.3 · a running importance ★☆☆ 10 minutes
#
# Given the Fishers of all tasks in order, return $F^*$ after the last. A weight that a task does not have (another
# task's head) gets nothing from it, and its old sum is decayed all the same.
#
# <details><summary>Hint: the check says I changed my input</summary>
# <code>+=</code> on a tensor writes into it.
# </details>


# %% exercise="4.3"
def online_importance(fishers: list[dict[str, torch.Tensor]], decay: float) -> dict[str, torch.Tensor]:
    """Return F* after the last task: a new tensor for every name that any task has."""
    ### BEGIN SOLUTION
    total: dict[str, torch.Tensor] = {}
    for fisher in fishers:
        total = {name: decay * tensor for name, tensor in total.items()}
        for name, tensor in fisher.items():
            total[name] = total[name] + tensor if name in total else tensor.clone()
    return total
    ### END SOLUTION


# %%
online_importance = checks.language.online_importance(online_importance)

# %% graded="4.3" points=1
checks.require_solved("4.3")

# %% [markdown]
# <details><summary>Solution</summary>
#
# {{solution 4.3}}
#
# The common mistake is a moving average, $\gamma F^* + (1-\gamma) F$: then ten tasks are protected no more than one.
# </details>

# %%
# alt: Test nats per token at the end on wikitext, dialogue and reviews, learned in this order, a group of points with
#  intervals for each domain: naive, EWC, online EWC, L2 and joint training.
three = [record for record in small_reported if record.extra["experiment"] == "three domains"]
by_name = {record.method["name"]: record for record in three}
order = [name for name in ("naive", "ewc", "online_ewc", "l2sp", "joint") if name in by_name]
cf.plots.final_nats([by_name[name] for name in order])
plt.show()

# %%
cf.tables.comparison({name: by_name[name] for name in order})

# %%
cf.tables.differences({name: by_name[name] for name in order if name != "joint"}, "ewc")

# %% [markdown]
# Perplexities, then nats against EWC seed by seed. Every λ is the one that two domains chose. With `decay=1` both EWCs
# sum the same Fishers, and only the anchor differs: EWC's first spring pulls back to the weights *before* the dialogue,
# which is better for the encyclopedia and worse for the dialogue.

# %% [markdown]
# **What it does not show.** What a decay below 1 is good for: that takes a sequence so long that old tasks must make
# room.

# %% [markdown]
# ## In your own script
#
# You have a model, texts that it should keep, new texts, and a `Trainer`. Only the two calls with `cf.` are new. The
# Trainer keeps all it can do: accumulation, mixed precision, checkpoints, `accelerate launch`.

# %%
mine = copy.deepcopy(model)
method = cf.EWC.from_data(mine, old.batches("train"), strength=guesses["ewc"], variant="sample", max_examples=128)
arguments = TrainingArguments(
    tempfile.mkdtemp(), max_steps=plan.steps // 2, per_device_train_batch_size=plan.batch_size, logging_steps=4,
    learning_rate=plan.learning_rate, report_to="none", save_strategy="no", seed=run.seed,
    dataloader_pin_memory=run.device != "cpu",
)  # fmt: skip
trainer = cf.ContinualTrainer(
    model=mine, args=arguments, train_dataset=new.train, data_collator=new.collate, method=method
)
trained = trainer.train()

# %% [markdown]
# What it logs: `penalty` in nats; `penalty_to_loss`, the penalty over the task's loss; `penalty_to_task_gradient`, the
# length of one gradient over that of the other. No `penalty` in the log means that nothing is protected.

# %%
logged = pd.DataFrame([entry for entry in trainer.state.log_history if "penalty" in entry])
logged[["step", "loss", *(name for name in logged if "penalty" in name)]].round(3)

# %%
for task, before in zip((old, new), naive.record.results[0][0], strict=True):
    print(f"perplexity on {task.name}: {before:.3f} before, {perplexity(mine, task.batches('test')):.3f} after")

# %% [markdown]
# ## One penalty per step
#
# A batch that does not fit into memory is cut into **micro-batches**: their gradients add up in `.grad`, then the
# optimizer takes one step. With $k$ equally long micro-batches the step should follow
#
# $$\frac{1}{k} \sum_{i=1}^{k} \nabla L_i + \lambda F\,(\theta - \theta^*)$$
#
# and $\lambda$ should mean the same for every $k$. A penalty added beside a loss that is already
# divided by $k$ counts $k$ times.

# %% [markdown]
# ### Exercise 4.4 · one penalty per step ★★☆ 10 minutes
#
# Leave that gradient in `.grad`; the optimizer is not your concern. `model(**batch).loss` is a mean,
# `penalty.value(model)` contains λ and the ½. The step before has left its gradients behind.
#
# <details><summary>Hint: my penalty is too strong</summary>
# How often does its <code>backward()</code> run?
# </details>
# <details><summary>Hint: only one micro-batch seems to count</summary>
# Where does <code>zero_grad()</code> stand?
# </details>


# %% exercise="4.4"
def gradient_of_step(model: torch.nn.Module, micro_batches: list[dict], penalty: cf.QuadraticPenalty) -> None:
    """Leave in every .grad the mean gradient of the micro-batches plus the penalty's, once."""
    ### BEGIN SOLUTION
    model.zero_grad()
    for batch in micro_batches:
        (model(**batch).loss / len(micro_batches)).backward()
    penalty.value(model).backward()
    ### END SOLUTION


# %%
gradient_of_step = checks.language.gradient_of_step(gradient_of_step)

# %% graded="4.4" points=2
checks.require_solved("4.4")

# %% [markdown]
# <details><summary>Solution</summary>
#
# {{solution 4.4}}
#
# The common mistake adds the whole penalty to every micro-batch's share of the loss. Whoever changes the number of
# micro-batches then changes λ, and a λ tuned on a large GPU is another one on a small GPU. (Dividing both by k is
# right, and computes the penalty k times.)
# </details>


# %%
def in_the_loop(model: torch.nn.Module, micro_batches: list[dict], penalty: cf.QuadraticPenalty) -> None:
    """Add the penalty to every micro-batch: what not to do."""
    model.zero_grad()
    for batch in micro_batches:
        (model(**batch).loss / len(micro_batches) + penalty.value(model)).backward()


# %%
mine.eval()
texts = [{"input_ids": torch.tensor([ids]).to(mine.device)} for ids in new.train["input_ids"][:8]]
length = min(text["input_ids"].shape[1] for text in texts)
whole = torch.cat([text["input_ids"][:, :length] for text in texts])
found: dict[str, dict] = {"penalty once": {}, "penalty in the loop": {}}
for gradients, step in zip(found.values(), (gradient_of_step, in_the_loop), strict=True):
    for k in (1, 2, 4, 8):
        step(mine, [{"input_ids": ids, "labels": ids} for ids in whole.chunk(k)], method.penalties[-1])
        gradients[k] = torch.cat([p.grad.flatten() for p in mine.parameters()])
mine.zero_grad()
off = {
    name: {
        f"{k} micro-batches": f"{float((each - gradients[1]).norm() / gradients[1].norm()):.1%}"
        for k, each in gradients.items()
    }
    for name, gradients in found.items()
}
pd.DataFrame(off)

# %% [markdown]
# How far the step's gradient is from that of one batch. `ContinualTrainer` adds the penalty's gradient after the last
# micro-batch of a step, before clipping, and scaled like the gradients where a half-precision scaler is at work.

# %% [markdown]
# ## With trl's `SFTTrainer` and a chat template
#
# `cf.ContinualMixin` adds the same to any subclass of `Trainer`. Chat data go through the tokenizer's chat template;
# with prompt and completion apart, trl puts the loss on the completion alone. trl is an extra of this course's package
# (`trl`): the cell runs where it is installed.


# %%
def as_chat(row: dict) -> dict:
    """Return a question and its answer as trl wants a prompt and its completion."""
    prompt = {"role": "user", "content": row["question"]}
    return {"prompt": [prompt], "completion": [{"role": "assistant", "content": row["answer"]}]}


# %%
if importlib.util.find_spec("trl") is None:
    print('trl is not installed here: %pip install "trl>=1.16", and run this cell again.')
else:
    from trl import SFTConfig, SFTTrainer

    class ContinualSFTTrainer(cf.ContinualMixin, SFTTrainer):
        pass

    workplace = run.tasks("workplace")[0].train
    settings = SFTConfig(
        tempfile.mkdtemp(), max_steps=5, logging_steps=5, per_device_train_batch_size=4, max_length=128,
        bf16=False, report_to="none", save_strategy="no", disable_tqdm=True,
        dataloader_pin_memory=run.device != "cpu",
    )  # fmt: skip
    chats = workplace.map(as_chat, remove_columns=workplace.column_names)
    student = copy.deepcopy(model)
    sft = ContinualSFTTrainer(student, settings, train_dataset=chats, processing_class=tokenizer, method=method)
    sft.train()
    print({name: value for entry in sft.state.log_history for name, value in entry.items() if "penalty" in name})

# %% [markdown]
# ## Interrupted, and resumed
#
# A checkpoint of a `ContinualTrainer` holds the method's state: Fisher and anchor. Below, a run of four steps; then a
# new trainer, with a fresh model and a method that knows nothing, goes on from step two. (With the small model in
# every profile, because a checkpoint of a large one takes gigabytes.)


# %%
def four_steps(folder: str, method: cf.methods.Method, resume: str | None = None) -> torch.nn.Module:
    """Train the bundled model for four steps, with a checkpoint after two."""
    arguments = TrainingArguments(
        folder, max_steps=4, save_steps=2, per_device_train_batch_size=4, learning_rate=1e-3, report_to="none",
        disable_tqdm=True, logging_steps=4, use_cpu=True, dataloader_pin_memory=False,
    )  # fmt: skip
    student = load_model("gpt2", "tiny").model
    trainer = cf.ContinualTrainer(
        model=student, args=arguments, train_dataset=lesson.train, data_collator=lesson.collate, method=method
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=resume)
    return student


def largest_difference(one: torch.nn.Module, other: torch.nn.Module) -> float:
    """Return the largest difference of any weight."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


# %%
loaded, folder = load_model("gpt2", "tiny"), tempfile.mkdtemp()
lesson, kept = (encode_task(task.task, loaded.tokenizer, max_length=64) for task in (new, old))
spring = cf.EWC.from_data(loaded.model, list(kept.batches("validation"))[:2], strength=10.0)
uninterrupted = four_steps(folder, spring)
fresh = cf.EWC(10.0)
resumed = four_steps(folder, fresh, resume=f"{folder}/checkpoint-2")
without = four_steps(tempfile.mkdtemp(), cf.methods.Naive())
print(f"resumed and not interrupted: {largest_difference(resumed, uninterrupted):.1e}")
print(f"without the penalty:         {largest_difference(without, uninterrupted):.1e}")
try:
    four_steps(folder, cf.methods.Naive(), resume=f"{folder}/checkpoint-2")
except ValueError as error:
    print("Resumed with another method:", str(error).replace(folder, "…"))

# %% [markdown]
# ## Museum: the loss that fell from 45.7 to 0.11
#
# A published notebook trains GPT-2 on fifty texts, “without EWC” and then “with EWC”, and reports the loss on the old
# task: 45.7 before, 2.76 without, 0.11 with EWC.

# %% [markdown]
# Two mistakes matter most: the logits are compared with the tokens at the *same* positions, and old task, new task and
# test are *the same fifty texts*. (Padding gets a label too, and the Fisher squares whole batches.)


# %%
def texts_as_batches(texts: list[str]) -> list[dict[str, torch.Tensor]]:
    """Return batches of four padded texts; the padding gets a label too, as in the exhibit."""
    batches = [tokenizer(texts[i : i + 4], return_tensors="pt", padding=True) for i in range(0, len(texts), 4)]
    return [{name: batch[name].to(model.device) for name in ("input_ids", "attention_mask")} for batch in batches]


def copying_loss(student: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the cross-entropy of the logits with the tokens of the same positions: what not to do."""
    logits = student(**batch).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["input_ids"].flatten())


def three_epochs(student: torch.nn.Module, batches: list, penalty: cf.QuadraticPenalty | None = None) -> None:
    """Train as the exhibit does."""
    optimizer = torch.optim.Adam(student.parameters(), lr=plan.learning_rate)
    for batch in tqdm(batches * 3, desc="three epochs"):
        optimizer.zero_grad()
        loss = copying_loss(student, batch)
        (loss if penalty is None else loss + penalty.value(student)).backward()
        optimizer.step()


# %%
few = texts_as_batches(list(old.task.train["text"][: 3 * plan.batch_size]))  # in `tiny` 24: half of the fifty do
student = run.load("gpt2").model
stages = {"before": copy.deepcopy(student)}
three_epochs(student, few)
stages["3 epochs “without EWC”"] = copy.deepcopy(student)
squares = {name: torch.zeros_like(parameter) for name, parameter in student.named_parameters()}
for batch in few:
    student.zero_grad()
    copying_loss(student, batch).backward()
    for name, parameter in student.named_parameters():
        squares[name] += parameter.grad.square() / len(few)
three_epochs(student, few, cf.QuadraticPenalty(squares, student, 0.4))
stages["3 more “with EWC”, λ = 0.4"] = student
stages["3 more without any EWC"] = copy.deepcopy(stages["3 epochs “without EWC”"])
three_epochs(stages["3 more without any EWC"], few)

# %%
tests = texts_as_batches(list(old.task.test["text"][: 3 * plan.batch_size]))
labelled = [
    [{**b, "labels": torch.where(b["attention_mask"] == 1, b["input_ids"], -100)} for b in batches]
    for batches in (few, tests)
]
losses = {}
with torch.no_grad():
    for name, each in stages.items():
        copied = np.mean([float(copying_loss(each, batch)) for batch in few])
        losses[name] = [copied, *(math.log(perplexity(each, batches)) for batches in labelled)]
columns = ["“loss on the old task”", "next-token loss, the same texts", "next-token loss, test texts"]
pd.DataFrame.from_dict(losses, orient="index", columns=columns).round(2)

# %% [markdown]
# The number that fell measures how well the model copies the token it has just been given. What GPT-2 is for, the next
# token, went the other way.

# %% [markdown]
# And at λ = 0.4 EWC has no part in it: compare the last two rows. Nothing is old here; a model cannot forget a task
# that it never stopped training on.

# %% [markdown]
# ## Museum: a `[PAD]` token too many
#
# GPT-2 has no padding token, so published code adds one and resizes the embedding. Do that *after* the Fisher was
# taken, and Fisher and anchor no longer fit.

# %% [markdown]
# PyTorch refuses to subtract the two; the usual repair, `if fisher[name].shape == p.shape`, leaves the embedding
# unprotected without a word. This library speaks:

# %%
bigger = copy.deepcopy(model)
bigger.resize_token_embeddings(bigger.get_input_embeddings().num_embeddings + 1, mean_resizing=False)
try:
    method.after_backward(bigger, scale=1.0)
except ValueError as error:
    print(error)
fisher = method.penalties[-1].importance
skipped = [name for name, p in bigger.named_parameters() if name in fisher and fisher[name].shape != p.shape]
share = sum(float(fisher[name].sum()) for name in skipped) / sum(float(each.sum()) for each in fisher.values())
print(f"Skipped without a word: {', '.join(skipped)}, with {100 * share:.0f} % of all importance.")

# %% [markdown]
# No new token is needed: pad with the end-of-sequence token, give padding an attention mask of 0 and the label −100.
# Set that label by the *mask*: `labels == pad_token_id` also removes every true end, and the model unlearns to stop.

# %% [markdown]
# ## Run a stored point again
#
# `cf.results.rerun` repeats any stored record with one of its seeds. The two runs at the top had seed 0 and in `tiny`
# the stored settings, so they should have come out the same there. In `laptop` they took fewer steps, to be quick.

# %%
# Repeat any other point; in `tiny` it takes as long as the training at the top did:
# cf.results.rerun(chosen["l2sp"], seed=1).matrix()
print(f"steps a task: {plan.steps} above, {bounds['naive'].plan['steps']} in the stored runs")
comparable = (cf.Plan(**bounds["naive"].plan), bounds["naive"].tasks) == (plan, naive.record.tasks)
for learned, record in ((naive, bounds["naive"]), (protected, chosen["ewc"])) if comparable else ():
    difference = np.abs(np.log(learned.record.matrix(seed=0) / record.matrix(seed=0))).max()
    print(
        f"{record.method['name']:>5}: largest difference from the stored run, seed 0: {difference:.4f} nats per token"
    )

# %% [markdown]
# ## What you set out to do, and your predictions

# %%
print(f"wikitext after dialogue: naive {bounds['naive'].scores('wikitext').mean():.2f}, ", end="")
print(f"EWC {chosen['ewc'].scores('wikitext').mean():.2f}, in blocks of {bounds['naive'].plan['max_length']} tokens")
print(f"EWC removes {removed:.0f} % of the rise for {given_up:.0f} % of the gain")
print(f"with the model's own texts: {removed_by['its own texts']:.0f} %")

# %% [markdown]
# - **Perplexity that means something** (prediction 1): totals over totals, with its context.
# - **A curve, not a number** (2): each λ is one answer; the curve has them all.
# - **Your own script** (3): a method, a strength and a trainer. The old texts are not needed if the model can write
#   them.

# %% [markdown]
# ## Now change this
#
# 1. Learn small talk first and protect it: swap the two domains in `learn_once` at the top, and run the live cells. Is
#    the rise the same?
# 2. `taught.then(cf.EWC(λ, variant="sample", unit="token"))` squares each token's gradient. Which λ does it need now?
# 3. `cf.methods.EWCOnGenerations(λ, n_texts=16)`, or 1024: how much does the number matter?

# %% [markdown]
# 4\. Let the *untouched* model write, protect that, and learn the encyclopedia. What of its general knowledge is kept?
#
# ```python
# base = run.load("gpt2").model
# knowledge = encode_task(run.tasks("knowledge")[0], tokenizer)
# keeper = cf.EWC.from_data(base, own_texts(base, 128), strength=10.0)
# trainer = cf.ContinualTrainer(
#     model=base, args=arguments, train_dataset=old.train, data_collator=old.collate, method=keeper
# )
# trainer.train()
# print(cf.evaluation.evaluate_task(base, knowledge), cf.evaluation.evaluate_task(model, knowledge))
# ```

# %% [markdown]
# ## References
#
# - Huszár (2018). *Note on the quadratic penalties in elastic weight consolidation.* PNAS.
# - Kirkpatrick et al. (2017). *Overcoming catastrophic forgetting in neural networks.* PNAS.
# - Schwarz et al. (2018). *Progress & Compress.* ICML. (online EWC)
# - Zenke, Poole, Ganguli (2017). *Continual learning through synaptic intelligence.* ICML.
# - Aljundi et al. (2018). *Memory aware synapses.* ECCV.
# - Li et al. (2018). *Explicit inductive bias for transfer learning with convolutional networks.* ICML. (L2-SP)
# - Robins (1995). *Catastrophic forgetting, rehearsal and pseudorehearsal.*
# - Lopez-Paz & Ranzato (2017). *Gradient episodic memory.* NeurIPS.

# %% [markdown]
# Previous: [3 · Elastic weight consolidation on DialoGPT](03_ewc_on_dialogpt.ipynb) · Next: [5 · LoRA](05_lora.ipynb)

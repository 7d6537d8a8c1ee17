# %% [markdown]
# # 8 · Distillation: staying close
#
# **A model may learn whatever it likes, as long as it goes on saying what it used to say. How close must it stay?**
#
# You will
#
# - make the old model the teacher of the new one (learning without forgetting), and find out where to ask it;
# - see which distance predicts forgetting, whatever the method;
# - tell what was lost from what was only guessed.
#
# In `tiny` a GPT-2 of one million weights plays the model, in `laptop` SmolLM2-135M.

# %% [markdown]
# All cells take at most 1 minute in `tiny` and 5 in `laptop`; in `full` the time was not measured.
#
# Previous: [7 · Replay](07_replay.ipynb)
#
# {{colab badge}}

# %% tags=["colab"]
# {{colab install}}

# %%
import copy
from collections import Counter
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown

import cfhelpers as cf
from cfhelpers import checks, widgets
from cfhelpers.evaluation import choose_answers
from cfhelpers.methods.divergence import mean_divergence, predictions
from cfhelpers.methods.kept_outputs import KeptOutputs
from cfhelpers.metrics import mean_and_interval
from cfhelpers.training.distances import explained_forgetting, forgotten
from cfhelpers.training.fronts import gap_at_equal_learning

run = cf.start(seed=0)

# %% [markdown]
# ## Predict
#
# A chat model has learned a **persona** (its favorite color, its cat) and now learns its **workplace**. No old
# example is kept. Write down:
#
# 1. The old model says what it would answer to a *workplace* question. Does staying close to that save the persona?
# 2. Would texts that it makes up by itself do as well?
# 3. What forgets more: a right answer in foreign words, or in one's own?

# %%
persona, workplace = run.tasks("persona", "workplace")
for task in (persona, workplace):
    print(f"{task.name}: {len(task.train)} questions to learn from, {len(task.test)} in other words to be tested on")
    for row in task.test.select(range(3)):
        print(f"   {row['question']:<50} {row['answer']}")

# %% [markdown]
# ## The baseline
#
# First the persona, then the workplace, with nothing to protect the first. `recall` is the share of test questions
# answered exactly.

# %%
plain = cf.methods.Naive()
taught = cf.learn_once(run, "dialogpt", ["persona", "workplace"], plain, stop_after=1)
naive = taught.then(plain)
cf.tables.result_matrix(naive.record)

# %% [markdown]
# **What to notice.** Down the first column: what learning the workplace did to the persona. Nothing in the second
# training asked for that, and nothing forbade it.

# %% [markdown]
# ## A teacher that is one's old self
#
# Copy the model before it learns on: the copy is the **teacher**, the model in training the **student**. At every token
# both give a distribution over all words. The **Kullback–Leibler divergence** (KL) says how far the student's $q$ is
# from the teacher's $p$, in nats:
#
# $$\text{KL}(p \,\|\, q) = \sum_v p_v \, (\log p_v - \log q_v)$$

# %% [markdown]
# ### Temperature
#
# Dividing all logits (the scores before the softmax) by $T > 1$ flattens both distributions, and second and third
# choices count. The gradient shrinks as $1/T^2$, so the loss is multiplied by $T^2$ (Hinton et al., 2015):
#
# | symbol | in the code |
# |---|---|
# | $T$ | `temperature` |
# | $p$, from the teacher | `softmax(teacher_logits / temperature)` |
# | $q$, from the student | `softmax(student_logits / temperature)` |

# %% [markdown]
# ### Exercise 8.1 · the distillation loss ★★☆ 20 minutes
#
# Keep a teacher that stays. `loss` is $T^2\,\text{KL}(p\|q)$, the mean over the batch's targets: positions whose *next*
# token has a label other than −100.
#
# <details><summary>Hint: my loss is always zero</summary>
# The teacher <em>is</em> the student. Copy it.
# </details>
# <details><summary>Hint: my loss changes when nothing has moved</summary>
# Dropout: <code>teacher.eval()</code>, the copy only.
# </details>
# <details><summary>Hint: my loss is too large, and larger for longer answers</summary>
# Pick the targets out first, [N, V]; then sum over V, average over N.
# </details>


# %% exercise="8.1"
class Distillation:
    """The distance of a model in training from its old self, the model as it is given here."""

    def __init__(self, model: torch.nn.Module, temperature: float) -> None:
        ### BEGIN SOLUTION
        self.temperature = temperature
        self.teacher = copy.deepcopy(model).eval()
        ### END SOLUTION

    def loss(self, model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        ### BEGIN SOLUTION
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        is_target = batch["labels"][:, 1:] != -100
        with torch.no_grad():
            log_p = (self.teacher(**inputs).logits[:, :-1][is_target] / self.temperature).log_softmax(-1)
        log_q = (model(**inputs).logits[:, :-1][is_target] / self.temperature).log_softmax(-1)
        return self.temperature**2 * (log_p.exp() * (log_p - log_q)).sum(-1).mean()
        ### END SOLUTION


# %%
Distillation = checks.distillation.distillation(Distillation)

# %% graded="8.1" points=2
checks.require_solved("8.1")

# %% [markdown]
# <details><summary>Solution</summary>
#
# {{solution 8.1}}
#
# The common mistake is <code>kl_div(…, reduction="batchmean")</code> on [B, T, V]: a sum over all positions, padding
# too, divided by the number of rows.
# </details>

# %% [markdown]
# ## Learning without forgetting
#
# The new task's loss plus a strength times the distillation, on the *new* task's inputs (LwF; Li & Hoiem, 2016). Your
# class becomes a method of the course's trainer in a few lines.


# %%
class MyLwF(cf.methods.Method):
    """Learning without forgetting, with the loss from above."""

    name = "mine"
    distillation = None

    def after_task(self, model, task):
        self.distillation = Distillation(model, 2.0)

    def extra_loss(self, model, inputs, outputs, num_items):
        if self.distillation is None:
            return None  # the first task has nothing before it
        n_targets = (inputs["labels"][:, 1:] != -100).sum()
        return 0.3 * self.distillation.loss(model, inputs) * n_targets / num_items


mine = taught.then(MyLwF())
cf.tables.comparison({"naive": naive.record, "mine": mine.record})

# %% [markdown]
# One seed. The teacher has never heard of the workplace: what it says there is wrong, but said *in its old way*. An
# explanation, not tested here: the weights that make it so also make the persona's answers.

# %% [markdown]
# ## Where to ask the teacher, and how hard to pull
#
# From stored results of the `tiny` model; the teacher is asked
#
# - on the **new** inputs: `lwf`, at T = 2;
# - there too, with $p$ and $q$ exchanged, at T = 1, the “KL to the reference model” of today's fine-tuning:
#   `lwf_reverse`;
# - on new inputs and 16 **replayed** persona examples, at T = 2: `lwf_replay`;
# - on **texts of its own**, at T = 1: `own_texts`.

# %% [markdown]
# `ewc` (chapter 3) asks no teacher.

# %%
everything = cf.results.load("08", profile="tiny")
stored = [record for record in everything if record.extra["experiment"] == "persona"]
reported = [record for record in stored if record.extra["stage"] == "report"]
chosen = {each.method["name"]: each for each in reported if each.method["name"] in ("naive", "joint")}
chosen |= cf.results.chosen(reported)
sweeps = {}
for record in (each for each in stored if each.extra["stage"] == "selection"):
    sweeps.setdefault(record.extra["sweep"], []).append(record)


def pull(record) -> float:
    """Return the strength; of replay with distillation, that of the distillation."""
    return (record.method if "strength" in record.method else record.method["methods"][1])["strength"]


# %%
# alt: Recall of the persona, kept, against recall of the workplace, learned, for every strength of each method on the
#  selection seed; lines join the strengths of one method, which stand beside the points.
cf.plots.fronts(sweeps, pull, plt.subplots(figsize=(7, 5), layout="constrained")[1])
plt.show()

# %% [markdown]
# Each line is one method from weak to strong; farther up and to the right is better. One seed chooses the strengths, by
# the mean validation score of both tasks; the table has others. The axes do not begin at zero.

# %%
cf.tables.comparison(chosen)


# %%
def removed(record, naive=chosen["naive"]) -> float:
    """Return the share of naive training's forgetting that a method removes."""
    return 1 - forgotten(record).mean() / forgotten(naive).mean()


def reached(record, naive=chosen["naive"]) -> float:
    """Return a method's new-task score as a share of naive training's."""
    return record.scores("workplace").mean() / naive.scores("workplace").mean()


both = {name: {"forgetting removed": removed(r), "of naive's new score": reached(r)} for name, r in chosen.items()}
pd.DataFrame.from_dict(both, orient="index").drop("naive").style.format("{:.0%}")

# %% [markdown]
# **What it shows.** What each choice keeps and learns on these two tasks, at its chosen strength.

# %% [markdown]
# **What it does not show.** That the order holds elsewhere. Own texts cost another forward and backward pass a step,
# and the model must be able to write about what it knows.

# %%
cf.tables.differences({name: chosen[name] for name in ("lwf", "own_texts", "lwf_replay", "ewc")}, "lwf")

# %% [markdown]
# Points, seed by seed, with 95 % intervals. A star marks one without zero: a difference that these seeds show.

# %% [markdown]
# ### The same on a larger model
#
# SmolLM2, of 135 million weights (profile `laptop`), on the seed that chooses strengths, beside chapter 3's. Stored
# results.

# %%
larger = [each for number in ("03", "08") for each in cf.results.load(number, profile="laptop", experiment="persona")]
cf.tables.comparison([each for each in larger if each.extra["stage"] == "selection"])

# %% [markdown]
# Now other seeds: the strength that those validation questions prefer, and one more.

# %%
reported = [each for each in larger if each.extra["stage"] == "report" and each.method["name"] in ("naive", "lwf")]
preferred = cf.results.chosen(larger)["lwf"]
where = "an end of" if cf.results.at_an_end(preferred, larger) else "inside"
print(f"preferred: {preferred.method['strength']:g}, {where} the strengths tried")
(plain_one,) = (each for each in reported if each.method["name"] == "naive")
kept, new = ((preferred.scores(task).mean(), plain_one.scores(task).mean()) for task in ("persona", "workplace"))
cf.tables.comparison({f"{each.method['name']} {each.method.get('strength', '')}": each for each in reported})

# %%
Markdown(
    f"At its preferred strength distillation keeps **{kept[0]:.0%}** and learns {new[0]:.0%}, where naive training "
    f"keeps {kept[1]:.0%} and learns {new[1]:.0%} ({len(preferred.seeds)} seeds)."
)

# %% [markdown]
# **What it does not show.** More than so few seeds and strengths can. Where the preferred strength is an end of those
# tried, a better one may lie beyond it.

# %% [markdown]
# ### Which way round?
#
# A KL is not symmetric. **Forward**, KL(old‖new), punishes what the student leaves out of what the teacher says;
# **reverse**, KL(new‖old), what it makes up. Which protects better? Not at equal strength, which means nothing, but at
# equal *learning*: both at T = 1, over the same strengths.

# %%
directions = {"forward": [], "reverse": []}
for record in everything:
    if record.extra["experiment"] == "direction":
        directions[record.method["direction"]].append(record)

# %%
# alt: Recall of the persona, kept, against recall of the workplace, learned, for forward and for reverse divergence
#  at temperature 1; each line joins the strengths, which stand beside the points.
cf.plots.fronts(directions, lambda record: record.method["strength"])
plt.show()
gap = gap_at_equal_learning(directions["forward"], directions["reverse"])

# %%
Markdown(
    f"Where both learn the same, {gap.low.mean():.0%} to {gap.high.mean():.0%} of the workplace, forward minus reverse "
    f"is **{mean_and_interval(100 * gap.kept):+.1f} points** of the persona (95 % interval, {len(gap.kept)} seeds)."
)

# %% [markdown]
# The mean distance of the two lines, over all new scores that both reach. An interval with zero in it shows no
# difference.

# %% [markdown]
# ## Without the teacher
#
# A teacher costs a forward pass in every step and a second model in memory. For fixed data its outputs can be computed
# **once**: at each target the `top_k` most probable words, and one number for all the rest. Joining outcomes only
# makes a divergence smaller, so the error has one sign.

# %%
batches = list(taught.tasks[1].batches("train", 4 * taught.plan.batch_size))[:2]
exact = mean_divergence(naive.model, taught.model, batches)
rows = {}
for top_k in (1, 8, 32, 256):
    kept = KeptOutputs.of(taught.model, batches, top_k=top_k, temperature=1.0, heads=None)
    found = [kept.divergence(predictions(naive.model, b, None, None), b, "forward")[0].detach() for b in batches]
    error = exact - float(torch.cat(found).mean())
    rows[top_k] = {"kept, kB": f"{kept.stored_bytes() / 1e3:.0f}", "error, nats per target": f"{error:.4f}"}
weights = sum(parameter.numel() for parameter in taught.model.parameters())
print(f"KL(old‖naive) on the workplace: {exact:.3f} nats per target; the teacher itself has {4 * weights / 1e3:.0f} kB")
pd.DataFrame.from_dict(rows, orient="index").rename_axis("top_k")

# %% [markdown]
# `cf.methods.LwF(0.3, top_k=32)` does that. What it saves in time on a larger model is measured by
# `python -m tests.benchmarks.methods`.

# %% [markdown]
# ## One law instead of twenty methods?
#
# "RL's Razor" (Shenfeld et al., 2025) claims that one number tells how much is forgotten, whatever the training: the KL
# between old and new model *on the new task's inputs*.
#
# Its rivals here: the same KL on old inputs, the distance of the weights $\|\Delta\|$ ($\Delta$: what each weight has
# moved by), and EWC's penalty $\frac{1}{2}\Delta^\top F \Delta$. $R^2$ is the part of the differences in forgetting
# that a number accounts for: 1 is all, 0 nothing.

# %%
cloud = [each for each in everything if "distance of the weights" in each.extra and each.method["name"] != "joint"]
names = [name for name in cloud[0].extra if "inputs" in name or "distance" in name]
n_runs = sum(len(each.seeds) for each in cloud)
rates = Counter(each.plan["learning_rate"] for each in cloud for _ in each.seeds)
(usual, most), *_ = rates.most_common(1)
print(f"{n_runs} runs of {len({each.method['name'] for each in cloud})} methods at {len(rates)} learning rates")
one_rate = [each for each in cloud if each.plan["learning_rate"] == usual]
tables = {f"all {n_runs} runs": cloud, f"{most} runs at rate {usual:g}": one_rate}
pd.concat({name: cf.tables.predictors(part, names)["R²"] for name, part in tables.items()}, axis=1)

# %%
# alt: A point for each run: points of persona recall forgotten against the divergence on the new task's inputs, on a
#  logarithmic axis, with a marker for each method.
cf.plots.forgetting_against_distance(cloud, "KL(old‖new), new inputs")
plt.show()

# %%
explorer = widgets.distances(cloud, names)
explorer

# %%
shares = {name: explained_forgetting(cloud, name) for name in names}
best, worst = max(shares, key=shares.get), min(shares, key=shares.get)
Markdown(
    f"Over these {n_runs} runs **{best}** explains most of the forgetting (R² = {shares[best]:.2f}), {worst} "
    f"least ({shares[worst]:.2f}); KL(old‖new) on new inputs explains {shares['KL(old‖new), new inputs']:.2f}."
)

# %% [markdown]
# **What it does not show.** A law. R² is that of a parabola in the distance's logarithm, for one pair of tasks and one
# small model. Joint training is left out: it does not go on from the old model.

# %% [markdown]
# A KL on *old* inputs is nearly forgetting itself: a high R² there is kinship, not foresight. The one on new inputs can
# be had before anybody asks about the old.

# %% [markdown]
# ## What the penalty of EWC is
#
# For a small step $\Delta$ the divergence is a parabola. With $s_v$ the slope of the logit of word $v$ along the step,
#
# $$\text{KL}(p_\theta \,\|\, p_{\theta+\Delta}) \approx \tfrac{1}{2}\, \Delta^\top F \Delta = \tfrac{1}{2} \Big( \sum_v
# p_v s_v^2 - \big(\sum_v p_v s_v\big)^2 \Big)$$
#
# Half the variance of the slopes. $F$ is the Fisher information (chapter 2); EWC keeps its diagonal only.

# %% [markdown]
# ### Exercise 8.2 · the divergence of a small step ★★☆ 10 minutes
#
# `logits` and `slopes` have shape [N, V]: what the old model predicts at N targets, and how fast each logit changes
# along the step. Return the mean over the targets.
#
# <details><summary>Hint: mine is much too large</summary>
# A slope that all words share changes no probability: subtract the squared mean.
# </details>
# <details><summary>Hint: mine is twice as large</summary>
# The ½.
# </details>


# %% exercise="8.2"
def second_order_kl(logits: torch.Tensor, slopes: torch.Tensor) -> torch.Tensor:
    """Return ½ ΔᵀFΔ per target, one number in nats."""
    ### BEGIN SOLUTION
    p = logits.softmax(-1)
    return 0.5 * ((p * slopes**2).sum(-1) - (p * slopes).sum(-1) ** 2).mean()
    ### END SOLUTION


# %%
second_order_kl = checks.distillation.second_order_kl(second_order_kl)

# %% graded="8.2" points=1
checks.require_solved("8.2")

# %% [markdown]
# <details><summary>Solution</summary>
#
# {{solution 8.2}}
#
# The common mistake forgets the squared mean.
# </details>


# %%
def moved(share: float) -> torch.nn.Module:
    """Return the model that has gone this share of the way from the old model to the naive one."""
    model, target = copy.deepcopy(taught.model), dict(naive.model.named_parameters())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.add_(share * (target[name] - parameter))
    return model.eval()


asked = next(iter(taught.tasks[0].batches("test", 64)))  # old inputs
shares, small = np.array([0.02, 0.05, 0.1, 0.2, 0.35, 0.6, 1.0]), 0.01
with torch.no_grad():
    ahead, behind = (predictions(moved(sign * small), asked, None, None)[0] for sign in (1, -1))
    logits = predictions(taught.model, asked, None, None)[0]
whole = float(second_order_kl(logits, (ahead - behind) / (2 * small)))
true = [mean_divergence(moved(share), taught.model, [asked]) for share in shares]

# %%
fisher = cf.fisher_diagonal(taught.model, taught.tasks[0].batches("test"), variant="sample", progress=False)
per_target = len(logits) / len(asked["labels"])  # the Fisher is one of whole answers
diagonal = float(cf.QuadraticPenalty(fisher, taught.model, 1.0).value(naive.model).detach()) / per_target

# %%
# alt: Divergence on old inputs against the share of the way from the old to the naively trained model, both axes
#  logarithmic: the true divergence, the parabola with the whole Fisher, and the parabola with its diagonal.
for curve, label in (
    (np.array(true), "true KL"),
    (whole * shares**2, "½ ΔᵀFΔ"),
    (diagonal * shares**2, "diagonal only"),
):
    plt.loglog(shares, curve, marker="o" if label == "true KL" else None, label=label)
plt.xlabel("share of the way from the old model to the naive one")
plt.ylabel("KL(old‖new) on old inputs, nats per target")
plt.legend()
plt.show()

# %%
off = np.abs(whole * shares**2 / np.array(true) - 1)
holds = shares[off < 0.25].max() if (off < 0.25).any() else 0
Markdown(
    f"The parabola is within a quarter of the true KL up to {holds:.0%} of the way; at the end it says "
    f"{whole:.3f} nats where {true[-1]:.3f} are true. The diagonal, all that EWC sees, is {diagonal / whole:.1%} of it."
)

# %% [markdown]
# So EWC and distillation want the same thing: a small KL. EWC replaces it by a parabola of which it keeps the diagonal
# (of training questions; here of test questions, like the other curves); distillation computes it, at other inputs. One
# seed, one direction.

# %% [markdown]
# ## Own words or foreign words
#
# A task with many right answers: greeted, or told of hunger or boredom, the model shall *ask back*; any reply that ends
# with a question is right. It is taught until nine of ten are:
#
# - **foreign words**: imitate somebody else's replies;
# - **own right answers**: imitate its own that were right (rejection sampling);
# - **reward**: raise the probability of what was right (REINFORCE).

# %%
(afterwards,) = (record for record in everything if record.extra["experiment"] == "afterwards")
rows = {}
for way in ("before", "foreign words", "own right answers", "reward"):
    keys = [key for key in afterwards.extra if key.startswith(f"untouched {way}: ")]
    values = {key.split(": ")[1]: mean_and_interval(np.ravel(afterwards.extra[key])) for key in keys}
    rows[way] = {name: f"{value:.2f}" for name, value in values.items()}
print(f"{len(afterwards.seeds)} seed{'s' if len(afterwards.seeds) > 1 else ''}")
pd.DataFrame.from_dict(rows, orient="index").fillna("")

# %% [markdown]
# `right`: share of right replies. `KL(new‖old)`: nats per token of replies. `knowledge`: recall of general knowledge,
# as a share; nobody trained it. `dialogue`: perplexity of general dialogue; lower is better. `updates`: optimizer steps
# until nine of ten were right.


# %%
ways = ("before", "foreign words", "own right answers", "reward")
known = [f"{np.mean(afterwards.extra[f'untouched {way}: knowledge']):.2f}" for way in ways]
Markdown("General knowledge: " + ", ".join(f"{way} **{share}**" for way, share in zip(ways, known, strict=True)) + ".")

# %% [markdown]
# **What it shows.** What each way of being right costs of what nobody asked about (the question of "Retaining by
# doing", 2025).

# %% [markdown]
# **What it does not show.** That the words alone do it: compare the `updates`; and the foreign words are four odd
# sentences.
# Nor that reward is needed: own right answers are ordinary fine-tuning. Few seeds make wide intervals.

# %% [markdown]
# ## The cheapest guard
#
# Where the model is *sure* of another word than the target, the loss is large and pulls hard. Entropy-adaptive
# fine-tuning (EAFT, 2026) weighs each token's loss by the model's own entropy, between 0 (sure) and 1 (no idea): one
# factor, in any trainer.

# %% [markdown]
# Smaller losses may teach less in a step, and whoever learns less forgets less. So both are trained for several numbers
# of steps on the workplace, and compared where they know equally much of it.

# %%
guards = {"naive": [], "entropy_gated": []}
for record in everything:
    usual_plan = record.extra["experiment"] == "persona" or "new steps" in record.extra["experiment"]
    if usual_plan and record.method["name"] in guards:
        guards[record.method["name"]].append(record)

# %%
# alt: Recall of the persona, kept, against recall of the workplace, learned, for naive training and for entropy-gated
#  training; each line joins the numbers of steps, which stand beside the points.
cf.plots.fronts(guards, lambda record: record.plan.get("new_steps") or record.plan["steps"])
plt.show()
gap = gap_at_equal_learning(guards["entropy_gated"], guards["naive"])

# %%
Markdown(
    f"Where both know {gap.low.mean():.0%} to {gap.high.mean():.0%} of the workplace, the gate keeps "
    f"**{mean_and_interval(100 * gap.kept):+.1f} points** of the persona beside naive training (95 % interval)."
)

# %% [markdown]
# **What it does not show.** What it does for data that the model knows in part. In the paper most tokens are known
# already; here every answer is a new fact.

# %% [markdown]
# ## Lost, gained, or guessed
#
# An item that was right and is wrong now is *lost*, the reverse *gained*; both hide in a difference of averages
# (Harmon et al., 2025). With k choices a guess is right with probability $c = 1/k$. If unknown items are guessed anew
# each time, and $W$ is the share wrong both times,
#
# $$u = \frac{W}{(1-c)^2}, \qquad \text{lost} = \frac{\text{right} \to \text{wrong}}{1-c} - c\,u$$
#
# and likewise gained; $u$ is the share unknown both times.

# %% [markdown]
# ### Exercise 8.3 · lost and gained ★★☆ 10 minutes
#
# From two lists of booleans, right before and right after, and the chance $c$, return both shares of *all* items. Leave
# small negative numbers.
#
# <details><summary>Hint: mine are too large with chance above 0</summary>
# Subtract c·u.
# </details>
# <details><summary>Hint: division by zero</summary>
# Divide by the number of all items, not of those that were right.
# </details>


# %% exercise="8.3"
def lost_and_gained(before: list[bool], after: list[bool], chance: float) -> tuple[float, float]:
    """Return the shares of all items that were lost and gained, corrected for guessing."""
    ### BEGIN SOLUTION
    pairs = list(zip(before, after, strict=True))
    share = {pair: pairs.count(pair) / len(pairs) for pair in ((True, False), (False, True), (False, False))}
    luck = chance * share[False, False] / (1 - chance) ** 2
    return share[True, False] / (1 - chance) - luck, share[False, True] / (1 - chance) - luck
    ### END SOLUTION


# %%
lost_and_gained = checks.distillation.lost_and_gained(lost_and_gained)

# %% graded="8.3" points=1
checks.require_solved("8.3")

# %% [markdown]
# <details><summary>Solution</summary>
#
# {{solution 8.3}}
#
# The common mistake compares the two averages: what was lost and what was gained cancel.
# </details>

# %%
strangers = [replace(run, seed=seed).tasks("persona")[0].test for seed in range(1, 12)]
said = [{row["fact"]: row["answer"] for row in stranger} for stranger in strangers]
choices, questions, options, right = 4, [], [], {}
few = list(persona.test)[: 4 * taught.plan.batch_size]
for row in few:
    others = dict.fromkeys(each[row["fact"]] for each in said if each.get(row["fact"], row["answer"]) != row["answer"])
    if len(others) >= choices - 1:  # every persona of this course likes blue: no wrong answer to offer
        questions.append(row["question"])
        options.append([row["answer"], *list(others)[: choices - 1]])
for name, model in {"untouched": run.load("dialogpt").model, "persona": taught.model, "workplace": naive.model}.items():
    picked = choose_answers(model, taught.tokenizer, questions, options)
    right[name] = [place == 0 for place in picked]
print(f"{len(questions)} of {len(few)} questions have {choices} answers to choose from")

# %%
for old, new in (("untouched", "persona"), ("persona", "workplace")):
    for chance in (0.0, 1 / choices):
        lost, gained = lost_and_gained(right[old], right[new], chance)
        print(f"{old} → {new}, chance {chance:.2f}: lost {lost:.1%}, gained {gained:.1%}")

# %% [markdown]
# Choosing among four is easier than saying it: compare what is lost here with the fall of recall at the top.

# %% [markdown]
# ## Lost, or only out of reach?
#
# After naive forgetting a short lesson repeats k of the persona's facts; the *others* are tested. If they come back,
# they were never gone. Beside it a model that never knew any. **Savings** are how far the forgetful model is ahead of
# that one, as a share of the most it could be (after Ebbinghaus, 1885, who measured the time saved in learning again).

# %%
rows, ceiling = {}, afterwards.scores("persona", after="persona").mean()
for k in (1, 4, 16):
    row = {}
    for who in ("forgotten", "never known"):
        first, then = (np.mean(afterwards.extra[f"{who}, {when} {k}"]) for when in ("before", "after"))
        row |= {f"{who}, before": first, f"{who}, after": then}
    for when in ("before", "after"):
        ahead = (row[f"forgotten, {when}"], row[f"never known, {when}"])
        row[f"savings, {when}"] = cf.metrics.savings(*ahead, ceiling=ceiling)
    rows[f"lesson of {k}"] = row
pd.DataFrame.from_dict(rows, orient="index").style.format("{:.0%}")

# %%
back = np.mean([rows[name]["forgotten, after"] - rows[name]["forgotten, before"] for name in rows])
Markdown(f"The lessons change recall of the *other* facts by {100 * back:+.1f} points on average.")

# %% [markdown]
# Compare the last two columns: savings that were there *before* the lesson were not brought back by it. They are facts
# that were never lost.

# %% [markdown]
# ## Self-distillation fine-tuning
#
# SDFT (Shenfeld et al., 2026) takes its teacher one step further: the model answers in its own words, and its old self,
# *with the right answer in its prompt*, says how good each word was. No foreign words, and a teacher that knows the new
# task.
#
# It needs a model that learns from what stands in its prompt. Does one of a million weights? One of 135 million?

# %%
rows = {"tiny: naive": chosen["naive"]}
for profile in ("tiny", "laptop"):
    (record,) = cf.results.load("08", profile=profile, experiment="self-distillation fine-tuning")
    rows[f"{profile}: sdft, seeds: {len(record.seeds)}"] = record
_, tiny, laptop = rows.values()
learned = [(r.scores("workplace") - r.scores("workplace", after="persona")).mean() for r in (tiny, laptop)]
times = np.mean(tiny.seconds) / np.mean(chosen["naive"].seconds)
cf.tables.comparison(rows)

# %%
Markdown(
    f"It learned **{learned[0]:+.0%}** of the workplace in `tiny` and **{learned[1]:+.0%}** in `laptop`. In `tiny` "
    f"that took {times:.1f} times naive training's time for both tasks."
)

# %% [markdown]
# The larger model has one seed only: at every step it writes 24 tokens, one after the other.

# %% [markdown]
# **What it does not show.** What SDFT does with more steps, a rate of its own, or a model that uses its prompt better:
# independent runs disagree about it. `cf.methods.SelfDistillationFineTuning` has a teacher that stays; trl has an
# `SDFTTrainer`.

# %% [markdown]
# ## Museum
#
# 1. **No T²; `batchmean` over positions.** The same distance, as four losses report it.
# 2. **A teacher that moves.** Trainers such as trl's put a `forward` of their own on the model; a deep copy of it goes
# on asking the original.

# %%
batch, rows = next(iter(taught.tasks[1].batches("train", taught.plan.batch_size))), {}
taught.model.eval(), naive.model.eval()
for T in (1.0, 2.0, 4.0):
    with torch.no_grad():
        right_one = float(Distillation(taught.model, T).loss(naive.model, batch))
        log_p, log_q = ((model(**batch).logits / T).log_softmax(-1) for model in (taught.model, naive.model))
        terms = log_p.exp() * (log_p - log_q)  # what kl_div sums or averages, over all positions
    rows[f"T = {T:g}"] = {"right": right_one, "no T²": right_one / T**2}
    rows[f"T = {T:g}"] |= {"batchmean": float(terms.sum()) / len(terms), "mean": float(terms.mean())}
pd.DataFrame.from_dict(rows, orient="index").style.format("{:.3g}")

# %%
patched = copy.deepcopy(taught.model)
original = patched.forward
patched.forward = lambda *arguments, **named: original(*arguments, **named)  # what a trainer may leave behind
teachers = {"copy.deepcopy": copy.deepcopy(patched).eval(), "frozen_copy": cf.models.frozen_copy(patched)}
with torch.no_grad():
    for parameter in patched.parameters():
        parameter.mul_(1.1)  # the student learns
for name, teacher in teachers.items():
    print(f"{name:>14}: moved {mean_divergence(teacher, taught.model, [batch]):.3f} nats away from the old model")

# %% [markdown]
# ## The three promises

# %%
Markdown(
    f"- **A teacher**: asked on new inputs it removes {removed(chosen['lwf']):.0%} of the forgetting, on its own texts "
    f"{removed(chosen['own_texts']):.0%}.\n- **A distance**: over these runs {best} explains most, R² = "
    f"{explained_forgetting(cloud, best):.2f}.\n- **Lost or guessed**: item by item, {lost:.0%} lost, free of chance."
)

# %% [markdown]
# ## Now change this
#
# `taught.then(METHOD).record.matrix()` tries a method; the last row is persona, workplace.
#
# 1. In `MyLwF`, give `Distillation` the *untouched* model, `run.load("dialogpt").model`. Does the persona survive?
# 2. `cf.methods.LwF(0.1, temperature=1.0, direction="reverse")`, then with "forward": now only the direction differs.
# 3. `cf.methods.Combined([cf.methods.EWC(3e3, variant="sample"), cf.methods.LwF(0.3)])`: do they add up?
# 4. Own texts without a beginning: `cf.methods.SelfDistillation(1.0, start=[taught.tokenizer.eos_token_id])`.
# 5. Set `choices = 6`. How many questions are left, and what is lost?

# %% [markdown]
# ## References
#
# - Li & Hoiem (2016). *Learning without forgetting.* ECCV.
# - Hinton, Vinyals & Dean (2015). *Distilling the knowledge in a neural network.*
# - Shenfeld et al. (2025). *RL's razor: why online reinforcement learning forgets less.* arXiv 2509.04259.
# - *Retaining by doing* (2025). arXiv 2510.18874.
# - *Entropy-adaptive fine-tuning* (2026). arXiv 2601.02151.
# - Shenfeld et al. (2026). *Self-distillation enables continual learning.* arXiv 2601.19897.
# - Harmon et al. (2025). *Mapping post-training forgetting in language models at scale.* arXiv 2510.17776.
# - Kirkpatrick et al. (2017). *Overcoming catastrophic forgetting in neural networks.* PNAS.
# - Ebbinghaus (1885). *Über das Gedächtnis.*
#
# Previous: [7 · Replay](07_replay.ipynb)

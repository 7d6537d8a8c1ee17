# %% [markdown]
# # 5 · LoRA: learning beside the weights
#
# **Does learning in a small corner forget less, or only learn less?**
#
# You will
#
# - work out what an adapter adds to a model, and what a merge of two really is;
# - compare one adapter through both tasks with full fine-tuning, each at its own learning rates;
# - see what is left of “no forgetting” when nobody says which task a question belongs to.
#
# In `tiny`, “DialoGPT”, “GPT-2” and “RoBERTa” are played by two models with a million and with 0.8 million weights.

# %% [markdown]
# All cells take at most 1 minute in `tiny` and 5 in `laptop`; in `full` the time was not measured. Long comparisons are
# read from stored results of `tiny`, two short ones from `laptop`.
#
# Previous: [4 · EWC on GPT-2](04_ewc_on_gpt2.ipynb) · Next: [6 · Progressive prompts](06_progressive_prompts.ipynb)
#
# {{colab badge}}

# %% tags=["colab"]
# {{colab install}}

# %%
import warnings
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown
from peft import LoraConfig, get_peft_model

import cfhelpers as cf
from cfhelpers import checks, widgets
from cfhelpers.course.experiments import chapter_05, chapter_06
from cfhelpers.course.experiments.chapter_06 import references
from cfhelpers.course.experiments.peft_benchmark import PEFT_BENCHMARK
from cfhelpers.methods.adapters import adapted_layers, add_adapter, target_names, updates
from cfhelpers.methods.orthogonal_subspace import share_in_held_directions
from cfhelpers.metrics import mean_and_interval
from cfhelpers.models import in_four_bits, load_model, weight_bytes

run = cf.start(seed=0)

# %% [markdown]
# ## Predict
#
# A model learns a persona, then a workplace. Only small matrices beside its weights are trained: in `tiny` 3 % as many
# numbers.
# Write down before you go on:
#
# 1. At equal scores on the workplace, does it keep more of the persona than full fine-tuning, or less?
# 2. Each task gets matrices of its own, and their mean is used. What remains of each task?

# %%
persona, workplace = run.tasks("persona", "workplace")
for task in (persona, workplace):
    print(task.name)
    for row in task.test.select(range(3)):
        print(f"   {row['question']:<50} {row['answer']}")

# %% [markdown]
# ## What an adapter adds
#
# LoRA (Hu et al., 2022) freezes a weight matrix $W$ and learns a change of low rank:
#
# $$W + \frac{\alpha}{r} B A$$
#
# | symbol | in the code |
# |---|---|
# | $A$, `[r, inputs]` | random at first |
# | $B$, `[outputs, r]` | zero at first, so that nothing changes yet |
# | $r$, the rank | 4 here, where layers are 128 wide (`tiny`) or 576 (`laptop`) |
# | $\alpha$ | `alpha`, a fixed factor |

# %% [markdown]
# ### Exercise 5.1 · the update by hand ★☆☆ 8 minutes
#
# Return the change of the weight. `Linear` keeps its weight as `[outputs, inputs]`. GPT-2's `Conv1D` keeps it the other
# way round: then transpose.
#
# <details><summary>Hint: my shapes do not fit</summary>
# The product is B A, not A B.
# </details>
# <details><summary>Hint: everything is too large by one factor</summary>
# The rank is <code>A.shape[0]</code>.
# </details>


# %% exercise="5.1"
def low_rank_update(A: torch.Tensor, B: torch.Tensor, alpha: float, conv1d: bool) -> torch.Tensor:
    """Return (alpha / r) B A, shaped like the weight it is added to."""
    ### BEGIN SOLUTION
    update = alpha / A.shape[0] * (B @ A)
    return update.T if conv1d else update
    ### END SOLUTION


# %%
low_rank_update = checks.adapters.low_rank_update(low_rank_update)

# %% graded="5.1" points=1
checks.require_solved("5.1")

# %% [markdown]
# <details><summary>Solution</summary>
#
# {{solution 5.1}}
#
# The common mistake forgets the transpose: with square layers nothing complains, and the adapter does something else.
# </details>
#
# Is it what the library peft computes? On GPT-2's `Conv1D` and on the encoder's `Linear`:


# %%
def is_conv1d(layer) -> bool:
    """Say whether an adapted layer keeps its weight as [inputs, outputs]."""
    return type(layer.get_base_layer()).__name__ == "Conv1D"


for role in ("dialogpt", "roberta"):
    model = run.load(role).model
    add_adapter(model, "trial", rank=4, alpha=16, layers=target_names(model, "all"))
    name, layer = next(iter(adapted_layers(model).items()))
    torch.nn.init.normal_(layer.lora_B["trial"].weight)
    A, B = (getattr(layer, part)["trial"].weight.detach() for part in ("lora_A", "lora_B"))
    difference = (low_rank_update(A, B, 16, is_conv1d(layer)) - updates(model, "trial")[name]).abs().max()
    print(f"{type(layer.get_base_layer()).__name__}: largest difference from peft {difference:.1e}")

# %% [markdown]
# ## The published comparison: an adapter for each task
#
# Many tutorials fine-tune RoBERTa on sentiment (SST-2) and then on inference (MNLI); then they give each task an
# adapter of its own, and report that forgetting is gone. The same here, five seeds, accuracy in percent.

# %% [markdown]
# The adapters' learning rate was chosen among five, on validation texts of **one** other seed. Full fine-tuning has the
# plan's rate, not tuned for this pair.

# %%
stored = cf.results.load("05", profile="tiny")


def found(experiment: str, chapter: str = "05", profile: str = "tiny") -> dict:
    """Return the reported records of an experiment: the chosen ones by sweep, others by mode or method."""
    records = cf.results.load(chapter, profile=profile, experiment=experiment)
    own = [record for record in records if record.extra["stage"] == "report"]
    plain = {}
    for record in (each for each in own if not each.extra["sweep"]):
        rate = f" at {record.method['learning_rate']:g}" if record.method.get("mode") == "shared" else ""
        plain[record.method.get("mode", record.method["name"]) + rate] = record
    return plain | cf.results.chosen(own)


def place(record, trials) -> str:
    """Say which rate was chosen, and where it lies among those that were tried."""
    where = "the edge of" if cf.results.at_an_end(record, trials) else "inside"
    return f"{cf.plots.rate_of(record):g}, {where} its grid"


two = found("two tasks")
published = {"full fine-tuning": two["naive"], "one adapter per task": two["told"]}
cf.tables.comparison(published)

# %%
# alt: Bars of the accuracy on sst2 and mnli at the end with 95 percent intervals, for full fine-tuning and for one
#  adapter per task.
cf.plots.final_scores(published)
plt.show()

# %% [markdown]
# ### Zero by construction
#
# The first task is scored with its own adapter on the untouched base: a model that was not trained since. Nothing
# *could* be forgotten, as with two separate models. What is compared is the storing of a second model, and it
# presumes that somebody says which adapter to use.
#
# Look: not a bit of the base changes, and the score of the first task stays. One run:

# %%
plan = cf.training.LIVE_PLANS[run.profile, "dialogue"]
rate = 5 * plan.learning_rate
told = cf.learn_once(run, "dialogpt", ["persona", "workplace"], cf.methods.LoRA(4, mode="told", learning_rate=rate))
untouched = run.load("dialogpt").model.state_dict()
now = {name.replace(".base_layer", ""): tensor for name, tensor in told.model.state_dict().items()}
print("base weights unchanged:", all(torch.equal(now[name], tensor) for name, tensor in untouched.items()))
cf.tables.result_matrix(told.record)

# %% [markdown]
# ## One adapter through both tasks
#
# The honest question: the *same* adapter learns the persona and then the workplace. And every method gets several
# learning rates, because one that is right for all weights is far too low for an adapter.

# %% [markdown]
# **Recall** is the share of questions answered word for word. Each point below is one rate, five seeds. Up: more kept.
# Right: more learned. LoRA was given five rates, full fine-tuning four.

# %%
# alt: Recall of the persona, kept, against recall of the workplace, learned, with 95 percent intervals: a line over its
#  learning rates for full fine-tuning and one for a shared adapter of rank 4 in all linear layers.
naive = [r for r in cf.results.load("03", profile="tiny") if r.method["name"] == "naive"]
slow, slow_trials = found("slow")["naive"], found("slow, other seeds")["naive"]
full = [slow, *(r for r in naive if r.extra["stage"] in ("report", "learning rate"))]
own = [record for record in stored if record.extra["experiment"] == "persona"]
shared = [record for record in own if record.extra["sweep"] == "all" and record.extra["stage"] == "report"]
fronts = {"full fine-tuning": full, "LoRA": shared}
cf.plots.rate_fronts(fronts)
plt.show()

# %% [markdown]
# **Claim 1: “LoRA learns less and forgets less”** (Biderman et al., 2024). Take of each the rate with the best mean
# over both tasks at the end, on validation questions: LoRA's was chosen with one seed, full fine-tuning's with two.
# Then read full fine-tuning's line where LoRA stands.

# %%
persona_runs = found("persona") | found("untold")
tried = [slow_trials, *(r for r in naive if r.extra["stage"] == "rate selection")]
tuned = max(tried, key=lambda record: np.mean(record.selection))
rate_f = cf.plots.rate_of(tuned)
best_full = next(record for record in full if cf.plots.rate_of(record) == rate_f)
best = persona_runs["all"]
gains = {task: mean_and_interval(100 * (best.scores(task) - best_full.scores(task))) for task in best.tasks}
kept_l, learned_l = cf.plots.kept_and_learned(best)
at_equal = 100 * cf.plots.kept_at(full, learned_l / 100)
print(f"rates: LoRA {cf.plots.rate_of(best):g}, full fine-tuning {rate_f:g}", end="; ")
print("that is the lowest it was given" if rate_f == min(map(cf.plots.rate_of, full)) else "inside its grid")
print(f"LoRA minus full fine-tuning: learned {gains['workplace']:+.1f}, kept {gains['persona']:+.1f} points")
print(f"while learning at least {learned_l:.0f} %: LoRA keeps {kept_l:.1f} %, full fine-tuning's line {at_equal:.1f} %")

# %%
said = {
    task: "more" if gain.low > 0 else "less" if gain.high < 0 else "neither more nor less that five seeds could show"
    for task, gain in gains.items()
}
verdict = "above" if kept_l > at_equal else "below" if kept_l < at_equal else "beyond the reach of"
Markdown(
    f"Here it learns **{said['workplace']}** and keeps **{said['persona']}**; at equal learning its point is "
    f"**{verdict}** full fine-tuning's line. The first compares two points, the second lines: only that is fair."
)

# %% [markdown]
# **Claim 2: “its best rate is about ten times higher”** (“LoRA without regret”, 2025). The rate with which the most
# of the workplace is learned, test scores. Both grids are coarse, each rate 2.5 to 3.3 times the one before: read the
# ratio as an order of magnitude.

# %%
most = {name: max(records, key=lambda record: record.scores("workplace").mean()) for name, records in fronts.items()}
rates = {name: cf.plots.rate_of(record) for name, record in most.items()}
ratio = rates["LoRA"] / rates["full fine-tuning"]
print(*(f"{name}: {value:g}" for name, value in rates.items()), f"ratio {ratio:.1f}", sep=", ")
print(f"ratio of the two rates of claim 1, which weigh keeping too: {cf.plots.rate_of(best) / rate_f:.1f}")
print("about ten times:", "yes, within a factor of 3" if 3.3 < ratio < 30 else "no, not here")

# %% [markdown]
# **Claim 3: “MLP layers matter more than attention”** (the same report). A transformer layer has two parts: attention,
# which looks at other tokens, and the MLP, which works on each by itself. Nearly equal numbers of trained parameters:
# rank 10 in attention, 6 in the MLP, 4 in both; “rank 16” has four times as many. The lines have one seed, the one that
# chose the rates; the table five others.

# %%
# alt: Recall kept against recall learned over the learning rates of adapters in attention, in the MLP, in all layers at
#  rank 4 and in all layers at rank 16, one seed.
tried = [record for record in own if record.extra["stage"] == "selection"]
places = ("attention", "mlp", "all", "all, rank 16")
cf.plots.rate_fronts({place: [r for r in tried if r.extra["sweep"] == place] for place in places})
plt.show()

# %%
cf.tables.comparison({place: persona_runs[place] for place in places})

# %%
ahead = {
    what: mean_and_interval(100 * (persona_runs["mlp"].scores(task) - persona_runs["attention"].scores(task)))
    for what, task in {"learned": "workplace", "kept": "persona"}.items()
}
print(", ".join(f"{what}: MLP minus attention {points:+.1f} points" for what, points in ahead.items()))
print("MLP ahead on both:", "yes" if min(points.low for points in ahead.values()) > 0 else "no, or not shown")
print("their chosen rates:", ", ".join(f"{each} {cf.plots.rate_of(persona_runs[each]):g}" for each in places))

# %% [markdown]
# Where the chosen rates differ, the table compares two places on two lines, not the lines: a lower rate learns less and
# keeps more. The figure compares lines, but with one seed.

# %% [markdown]
# ### The same with larger models
#
# In `laptop`, SmolLM2 with 135 million weights learns persona and workplace, and an encoder with 22 million the two
# tasks of the published comparison. Adapters: four rates, chosen with one seed, and three other seeds. The other rows
# are those of chapters 1 and 3.

# %%
laptop = cf.results.stored("05", "laptop") or []
names = {"naive": "full fine-tuning", "all": "one adapter", "told": "one per task", "shared": "one for both"}
names |= {"ewc": "EWC", "joint": "joint training"}


def with_adapters(chapter: str, experiment: str) -> dict:
    """Return what was measured in `laptop`, by the name to show; the adapters' runs as far as they are stored."""
    there = any(record.extra["experiment"] == experiment for record in laptop)
    rows = found(experiment, chapter, "laptop") | (found(experiment, "05", "laptop") if there else {})
    return {title: rows[name] for name, title in names.items() if name in rows}


larger = with_adapters("03", "persona")
cf.tables.comparison(larger)

# %%
larger_two = with_adapters("01", "task change")
cf.tables.comparison(larger_two)

# %%
for named, own_name in ((larger, "one adapter"), (larger_two, "one per task"), (larger_two, "one for both")):
    if own_name in named:
        gap = cf.tables.differences({each: named[each] for each in ("full fine-tuning", own_name)}, "full fine-tuning")
        print(f"{own_name}: rate {place(named[own_name], laptop)};", *gap.columns.str.cat(gap.iloc[0], " "), "points")
    else:
        print(f"{own_name}: not measured yet; `python -m cfhelpers results 05 --profile laptop` does it")

# %% [markdown]
# Three seeds leave wide intervals; without a star, nothing is shown. And look at “just learned” first: an adapter that
# has learned little can forget little.

# %% [markdown]
# ### And on plain text
#
# A model that learned encyclopedia entries now learns dialogue. Perplexity says among how many equally likely tokens it
# seems to choose; low is good, so both axes are turned round. Two seeds, the ones that choose rates.

# %%
# alt: Perplexity on wikitext, kept, against perplexity on dialogue, learned, axes turned round: a line over its
#  learning rates for full fine-tuning and one for LoRA of rank 4.
text_full = [r for r in cf.results.load("04", profile="tiny", experiment="two domains") if r.method["name"] == "naive"]
text_fronts = {
    "full fine-tuning": [r for r in text_full if r.extra["stage"] == "rate selection"],
    "LoRA": [r for r in stored if r.extra["experiment"] == "domains" and r.extra["stage"] == "selection"],
}
cf.plots.rate_fronts(text_fronts)
plt.show()

# %% [markdown]
# The table has five other seeds. LoRA's rate has the best validation mean over *both* texts, even where it has learned
# little. Full fine-tuning has the rate that *teaches soonest*, another criterion (chapter 4). So read the lines and not
# these two rows.

# %%
plain_text = next(record for record in text_full if record.extra["stage"] == "report")
on_text = found("domains")["all"]
print("LoRA's rate:", place(on_text, stored))
cf.tables.comparison({"full fine-tuning": plain_text, "LoRA": on_text})

# %% [markdown]
# ## What peft's own benchmark says
#
# The makers of peft train many methods on one task (Llama-3.2-3B, MetaMathQA) and measure how much the loss on
# Wikipedia rises. Numbers of 2026-08-21, **one seed each**; larger marks train more parameters. Blue: all weights;
# orange: LoRA.

# %%
# alt: Accuracy on MetaMathQA against the rise of the loss on Wikipedia, small is up, for eleven methods of peft's
#  benchmark, with names.
cf.plots.benchmark_front(PEFT_BENCHMARK)
plt.show()

# %%
theirs = {row["method"]: row for row in PEFT_BENCHMARK}
mlp, attention = theirs["LoRA r 10, MLP"], theirs["LoRA r 32, q and v"]
worse = sum(row["loss_rise"] > theirs["full fine-tuning"]["loss_rise"] for row in PEFT_BENCHMARK)
ours = "yes" if min(points.low for points in ahead.values()) > 0 else "no, or not shown"
both = mlp["accuracy"] > attention["accuracy"] and mlp["loss_rise"] < attention["loss_rise"]
print(f"MLP ahead of attention on both axes? there {'yes' if both else 'no'}, here {ours}")
print(f"there, {worse} of {len(PEFT_BENCHMARK) - 1} others forget more than full fine-tuning")

# %% [markdown]
# **What it does not show.** One seed is one seed: a difference of a point or two there may be luck, and so may the
# 0.002 nats between full fine-tuning and the MLP adapter. Their “q and v” is only part of attention. And a small rise
# of the loss on Wikipedia is not a score on a task that was learned before.

# %% [markdown]
# ## When nobody says which task it is
#
# One adapter per task, and a question arrives. Two ways out:
#
# - **chosen**: word by word, each adapter is weighed by how likely it finds the text up to there;
# - **merged**: the *mean* of the two updates is used for everything.

# %% [markdown]
# In the row “told”, *we* say which adapter each question needs: the ceiling of the other two, which have to find out.

# %%
names = {"told": "told", "chosen": "chosen", "merged": "merged", "all": "shared adapter", "wise_ft": "WiSE-FT"}
table = {"full fine-tuning": best_full} | {title: persona_runs[name] for name, title in names.items()}
cf.tables.comparison(table)

# %% [markdown]
# “told”, “chosen” and “merged” all have the shared adapter's learning rate, which was not tuned for them.

# %% [markdown]
# **WiSE-FT** (Wortsman et al., 2022) needs no adapter at all: fine-tune all weights, then go part of the way back to
# where they were. The share was chosen among five with one seed; its rate is chapter 3's, not tuned. It is the
# simplest idea in this chapter, and stores the most: a copy of all weights. Compare its row.

# %% [markdown]
# ## What a merge computes
#
# The mean of two updates is $\frac12 (B_1 A_1 + B_2 A_2)$, times $\alpha/r$. It needs the products. Adding the
# *factors* gives
# $(B_1 + B_2)(A_1 + A_2)$, with the cross terms $B_1 A_2$ and $B_2 A_1$, which nobody ever trained.

# %% [markdown]
# ### Exercise 5.2 · the mean of updates ★★☆ 10 minutes
#
# Given a list of pairs (A, B) and α, return the mean of their updates for a `Linear` layer. Leave A and B as they are.
#
# <details><summary>Hint: right for one adapter, wrong for two</summary>
# Multiply before you add.
# </details>
# <details><summary>Hint: too large by the number of adapters</summary>
# It is a mean, not a sum.
# </details>


# %% exercise="5.2"
def mean_of_updates(adapters: list[tuple[torch.Tensor, torch.Tensor]], alpha: float) -> torch.Tensor:
    """Return the mean over adapters of (alpha / r) B A, shape [outputs, inputs]."""
    ### BEGIN SOLUTION
    products = [alpha / A.shape[0] * (B @ A) for A, B in adapters]
    return torch.stack(products).mean(dim=0)
    ### END SOLUTION


# %%
mean_of_updates = checks.adapters.mean_of_updates(mean_of_updates)

# %% graded="5.2" points=1
checks.require_solved("5.2")

# %% [markdown]
# <details><summary>Solution</summary>
#
# {{solution 5.2}}
#
# The common mistake averages A and B first. For one adapter that is the same, so a test with one adapter never finds
# it.
# </details>

# %% [markdown]
# ### How far are peft's merges from it?
#
# The two adapters trained above, in a model of peft's own, mixed with weights ½ and ½ by each of its recipes. The
# distance is relative to the true mean: 0 is the mean itself, 1 as far from it as doing nothing.

# %%
kinds = ("linear", "cat", "svd", "ties", "dare_linear", "dare_ties")
layer = next(iter(adapted_layers(told.model).values()))
settings = LoraConfig(r=4, lora_alpha=16, target_modules=target_names(told.model, "all"))
settings.fan_in_fan_out = is_conv1d(layer)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # peft uses a name that transformers has renamed
    peft_model = get_peft_model(run.load("dialogpt").model, settings, "persona")
    peft_model.add_adapter("workplace", settings)
trained = {f"base_model.model.{name}": tensor for name, tensor in told.model.state_dict().items() if "lora_" in name}
assert not peft_model.load_state_dict(trained, strict=False).unexpected_keys
for kind in kinds:
    extra = {} if kind in ("linear", "cat", "svd") else {"density": 0.5}
    torch.manual_seed(0)  # dare drops entries at random
    peft_model.add_weighted_adapter(["persona", "workplace"], [0.5, 0.5], kind, combination_type=kind, **extra)


# %%
def distance(kind: str) -> float:
    """Return ‖mixture − mean‖ / ‖mean‖ over all layers."""
    mixture, squares = updates(peft_model, kind), [0.0, 0.0]
    for name, layer in adapted_layers(peft_model).items():
        factors = [(layer.lora_A[t].weight.detach(), layer.lora_B[t].weight.detach()) for t in ("persona", "workplace")]
        mean = mean_of_updates(factors, 16)
        mean = mean.T if is_conv1d(layer) else mean
        squares[0] += float((mixture[name] - mean).square().sum())
        squares[1] += float(mean.square().sum())
    return (squares[0] / squares[1]) ** 0.5


pd.DataFrame({"distance from the mean": {kind: f"{distance(kind):.3f}" for kind in kinds}})

# %% [markdown]
# `cat` stacks the factors, which is exact, with an adapter twice as large. `svd` is the nearest update of rank 4.
# `ties` and `dare` drop entries on purpose and do not claim to be the mean. One pair of adapters, one draw.
# `cf.methods.adapters.merge_adapters` adds the exact mean to the weights and takes the adapters out.

# %% [markdown]
# ### Museum: two traps that spoil a comparison
#
# 1. **A name that exists.** Mixing again under a used name returns the *old* mixture without a word: a sweep of weights
#    then compares one mixture with itself.
# 2. **A mean that is not one.** “linear” with ½ and ½, called the merged model.

# %%
before = updates(peft_model, "linear")
peft_model.add_weighted_adapter(["persona", "workplace"], [0.9, 0.1], "linear", combination_type="linear")
unchanged = all(torch.equal(before[name], tensor) for name, tensor in updates(peft_model, "linear").items())
print("weights 0.9 and 0.1 under the same name: still the old mixture?", unchanged)
try:
    add_adapter(told.model, "persona", rank=4, alpha=16, layers=target_names(told.model, "all"))
except ValueError as error:
    print("ours refuses:", error)
for kind in ("cat", "linear"):
    peft_model.set_adapter(kind)
    recall = {task.name: cf.evaluation.evaluate_task(peft_model.eval(), task) for task in told.tasks}
    print(f"merged by {kind}:", ", ".join(f"recall of {name} {share:.0%}" for name, share in recall.items()))

# %% [markdown]
# Compare the two recalls with the distance above: an update as far from the mean as no update at all need not score
# like one. Where the recalls are close, no score would have told you of the mistake. One run, few questions a task.

# %% [markdown]
# ## A corner for each task
#
# The rows of $A$ say which directions of its input an update looks at. **O-LoRA** (Wang et al., 2023) gives every
# task an adapter, adds all of them up, and keeps a new $A$ orthogonal to the old, frozen ones. No task is told. The
# loss gets
#
# $$\lambda \sum_{i\,\text{old}} \lVert A_i A^\top \rVert_F^2$$
#
# | symbol | in the code |
# |---|---|
# | $A$, $A_i$ | `A`, `old[i]`: one row per rank |
# | $\lVert\cdot\rVert_F^2$ | the sum of all squared entries |

# %% [markdown]
# ### Exercise 5.3 · how much do they overlap? ★★☆ 8 minutes
#
# Return the sum, without λ, as a tensor whose gradient reaches `A`. Without old ones it is 0.
#
# <details><summary>Hint: positive and negative products cancel</summary>
# Square each entry, then add up.
# </details>
# <details><summary>Hint: my gradient is missing</summary>
# <code>.item()</code> and <code>float()</code> cut it off.
# </details>


# %% exercise="5.3"
def overlap(A: torch.Tensor, old: list[torch.Tensor]) -> torch.Tensor:
    """Return the sum over old adapters of the squared entries of A_i Aᵀ, a tensor of shape []."""
    ### BEGIN SOLUTION
    return sum(((each @ A.T).square().sum() for each in old), torch.zeros(()))
    ### END SOLUTION


# %%
overlap = checks.adapters.overlap(overlap)

# %% graded="5.3" points=1
checks.require_solved("5.3")

# %% [markdown]
# <details><summary>Solution</summary>
#
# {{solution 5.3}}
#
# The common mistake multiplies entry by entry: then only rows of equal number are kept apart.
# </details>

# %% [markdown]
# λ was chosen among five values with one seed. The learning rate is the shared adapter's, not tuned for O-LoRA. “full”
# is full fine-tuning at the rate of claim 1.

# %%
kept_apart = persona_runs["orthogonal_lora"]
at_edge = cf.results.at_an_end(kept_apart, stored)
print(f"λ = {kept_apart.method['strength']:g},", "an edge of its grid" if at_edge else "inside its grid")
cf.tables.comparison({"shared adapter": best, "O-LoRA": kept_apart, "full": best_full})

# %% [markdown]
# ### Holding directions of the weights themselves
#
# Every matrix is a sum of directions, which it uses more or less: $W = U S V^\top$, the singular value decomposition.
# **OSF** (Nayak et al., 2025; in peft) holds the directions used most, here half of them, and trains the rest of $U$,
# $S$ and $V$. After each task the weights are decomposed anew. Nothing is stored.

# %% [markdown]
# peft keeps each *gradient* orthogonal to what is held. Then AdamW divides every entry by a scale of its own. Do you
# expect the step to be orthogonal still? Thirty steps on sentiment:

# %%
short = replace(cf.training.PLANS[run.profile, "classification"], steps=30, curve_points=1)
osf = cf.learn_once(run, "roberta", ["sst2"], cf.methods.OrthogonalSubspace(0.5), plan=short)
share = share_in_held_directions(osf.model)
print(f"{share:.0%} of the squared change lies in directions that were to be held (plain gradient descent: 0 %)")

# %% [markdown]
# So read OSF's row below, among the four tasks, as what peft's OSF does with AdamW: not as what its paper describes.
#
# On GPT-2 it does not run: peft passes over its `Conv1D` layers without a word
# and trains nothing, so that our `OrthogonalSubspace` refuses them with a `ValueError`.

# %% [markdown]
# ## A question: EWC on an adapter
#
# EWC protects what the Fisher information says is important. For an adapter it is taken of $A$ and $B$. At the start,
# $B$ is zero. What is the Fisher information of $A$ then, and what would EWC protect if it were taken *before* the
# first task?

# %%
fresh = cf.methods.LoRA(4, learning_rate=rate).prepare_model(run.load("dialogpt").model, told.tasks[0])
batches = list(told.tasks[0].batches("train"))[:1]
for moment, model in {"at the start": fresh, "after training": told.model}.items():
    fisher = cf.fisher_diagonal(model, batches, variant="sample", progress=False)
    for part in ("lora_A", "lora_B"):
        total = sum(float(tensor.sum()) for name, tensor in fisher.items() if part in name)
        print(f"{moment}: Fisher information of {part}, summed: {total:.3g}")

# %% [markdown]
# The update is $BA$: its change with $A$ is multiplied by $B$, and that is zero. Take the Fisher information *after*
# the first task. To protect an adapter with EWC, hand your peft model to `cf.ContinualTrainer`.

# %% [markdown]
# ## Four tasks, two orders
#
# The encoder learns `sst2`, `topics`, `mnli`, `imdb`, 120 steps each, and the same backwards; five seeds. We say which
# task's head a text needs, but not which adapter. In points: average accuracy, **backward transfer** (last minus just
# learned), **forgetting** (best minus last), **forward transfer** (just learned minus a model of its own, from
# chapter 6) and **intransigence** (joint training minus just learned).

# %% [markdown]
# **Which rate?** Each method was tried with five, on the first order, with one seed that is not reported. Mean accuracy
# over the four tasks after the last, on validation texts. (“linear weights alone” belongs to OSF: below.)

# %%
choosing = list(chapter_05.CHOOSING)
tries = [r for r in stored if r.extra["experiment"].startswith("four tasks") and r.seeds == choosing]
scores = [(chapter_05.kind_on_four(r), cf.plots.rate_of(r), 100 * np.mean(r.selection)) for r in tries]
by_rate = pd.DataFrame(scores, columns=["method", "rate", "accuracy"]).pivot(index="method", columns="rate").round(1)
by_rate["accuracy"].astype(object).fillna("")

# %%
for method, row in by_rate["accuracy"].iterrows():
    tried_rates = row.dropna().index
    edge = "an edge of its grid" if row.idxmax() in (tried_rates[0], tried_rates[-1]) else "inside its grid"
    print(f"{method}: best at {row.idxmax():g}, {edge}")

# %% [markdown]
# Five seeds were run at these rates. Beside them stand rates that were carried over: the plan's 0.001 for full
# fine-tuning, and 0.006, from “told” on two tasks, for a shared adapter and O-LoRA. Look what a carried rate costs.

# %%
orders = chapter_05.by_order(stored)
forwards, backwards = orders
orders[backwards]["full fine-tuning at 0.001"] = found("other order", "06")["naive"]
alone = chapter_06.by_order(cf.results.load("06", profile="tiny"))[forwards]
pd.concat({order: cf.tables.transfer(four, **references(alone, order.split(" → "))) for order, four in orders.items()})

# %%
# alt: Two close-ups, one for each order of the tasks: mean accuracy on the first three, kept, against accuracy on the
#  last, learned, each method with its name. What lies far off stands at the edge with its numbers.
figure, axes = plt.subplots(2, 1, figsize=(7, 9.5), layout="constrained")
for ax, (order, four) in zip(axes, orders.items(), strict=True):
    cf.plots.close_up(four, ax=ax)
    ax.set_title(order)
plt.show()

# %% [markdown]
# The axes do not begin at zero: they are a close-up of the crowd. Where bars cover each other, these seeds tell nobody
# apart.

# %% [markdown]
# **What it shows.** Each against full fine-tuning at the end, seed by seed, both at the rate that they prefer; a star
# marks what five seeds can show:

# %%
pd.concat({order: cf.tables.differences(four, "full fine-tuning") for order, four in orders.items()})

# %% [markdown]
# ### Is it the held directions, or the freezing?
#
# OSF trains half of the directions of the linear layers and a head, nothing else: embeddings, biases and norms stay
# frozen as well. “linear weights alone” freezes the same and holds nothing, at the best of five rates like the others.
# In points of mean accuracy:

# %%
plainly, alike = "full fine-tuning", chapter_05.LINEAR
for order, four in orders.items():
    pairs = (plainly, alike), (alike, "OSF"), (plainly, "OSF")
    steps = [cf.tables.differences({name: four[name] for name in pair}, pair[0])["mean"].item() for pair in pairs]
    print(f"{order}: freezing {steps[0]}, held directions on top of it {steps[1]}, both {steps[2]}")

# %% [markdown]
# “On top of it” includes that OSF trains $U$, $S$ and $V$ and not $W$, at a rate of its own: that is not taken apart.

# %%
cf.tables.costs(orders[forwards])

# %% [markdown]
# Heads alone, frozen layers, prompts and columns learn the same four tasks in
# [chapter 6](06_progressive_prompts.ipynb), which ends with one table of all.

# %% [markdown]
# **What it does not show.** A ranking: the rates were found with one seed, on the first order and coarse grids, and the
# share that OSF holds and O-LoRA's λ were not tuned here. A shared adapter that is ruined at a carried rate is no rival
# for O-LoRA.

# %% [markdown]
# Full fine-tuning at the carried rate would have been an unfair opponent: compare its two rows.

# %% [markdown]
# Nor large models: an adapter of rank 4 in layers 128 wide is not so small a corner as rank 4 in layers 4,096 wide.

# %% [markdown]
# ## The bill
#
# A frozen weight needs no gradient and none of Adam's two running means (its “moments”); that is where LoRA saves. A
# step is another matter: forward and backward pass still run through all layers, and in a small model the extra small
# products can cost as much as they save. The share is large here because rank over width sets it. The shared adapter is
# kept once for all tasks. (All weights: the runs of WiSE-FT.)

# %%
size = sum(tensor.numel() for tensor in load_model("dialogpt", best.profile).model.parameters())
chosen_ones = {"all weights": persona_runs["wise_ft"], "shared adapter": best, "told": persona_runs["told"]}
cf.tables.adapter_bill(chosen_ones | {"O-LoRA": persona_runs["orthogonal_lora"]}, size)

# %% [markdown]
# **Measured on SmolLM2**, 135 million weights, 8 texts, one thread: a step of LoRA takes 0.75 of the time and 0.68 of
# the peak memory of a step of full fine-tuning. We had hoped for 0.6 of the memory. 75 % of LoRA's peak are not the
# model but nearly all *activations*, which the backward pass needs again: they grow with the batch, and an adapter does
# not save them. (`python -m tests.benchmarks.methods smollm2 --seconds 5`)

# %% [markdown]
# **QLoRA** (Dettmers et al., 2023) also shrinks what is *frozen*: the base in 4 bits a weight instead of 32, with one
# scale for each 64 weights. Its library, bitsandbytes, is not part of this course; where it is installed, the cell
# below measures, and elsewhere it says what is missing.


# %%
def first_loss(model) -> torch.Tensor:
    """Return the loss on some questions of the persona, in nats per token."""
    return model(**batches[0]).loss


whole = run.load("dialogpt")
print(f"in 32 bits: {weight_bytes(whole.model) / 1e6:.2f} MB, loss {first_loss(whole.model):.3f} nats")
try:
    packed = in_four_bits(whole)
    print(f"in 4 bits: {weight_bytes(packed.model) / 1e6:.2f} MB, loss {first_loss(packed.model):.3f} nats")
    adapted = cf.methods.LoRA(4, learning_rate=rate).prepare_model(packed.model, told.tasks[0])
    first_loss(adapted).backward()
    print("an adapter on it has gradients:", any(p.grad is not None for p in adapted.parameters()))
except ImportError as error:
    print(f"{type(error).__name__}: {error}")

# %% [markdown]
# ## Move along the fronts
#
# Which rate would you take? Below the controls stands what each keeps and learns; without a kernel, read the figure of
# “One adapter through both tasks”.

# %%
explorer = widgets.rates(fronts)
explorer

# %% [markdown]
# ## The three promises

# %%
merged_kept, merged_learned = cf.plots.kept_and_learned(persona_runs["merged"])
print(f"- an update is B A times α/r; peft's “linear” is {distance('linear'):.2f} away from the mean of two")
print(f"- at equal learning, one adapter keeps {kept_l - at_equal:+.1f} points compared with full fine-tuning's line")
print(f"- untold and merged, {merged_kept:.0f} % of the persona and {merged_learned:.0f} % of the workplace are left")

# %% [markdown]
# ## Now change this
#
# In a new cell, each `learned = cf.learn_once(run, "dialogpt", ["persona", "workplace"], method)` and then
# `cf.tables.result_matrix(learned.record)`:
#
# 1. `method = cf.methods.LoRA(1, learning_rate=rate)`, then rank 64. Which learns as much as full fine-tuning?
# 2. The plan's own rate: `learning_rate=plan.learning_rate`, five times lower. What do you conclude about LoRA then?
# 3. `cf.methods.WiSEFT(0.5)`, then other shares: how far back is best?

# %% [markdown]
# 4. `cf.methods.LoRA(4, mode="chosen", learning_rate=rate)`. Then put a workplace question in the persona's words:
#    `model = learned.method.prediction_model(learned.model, learned.tasks[0])`, then
#    `cf.evaluation.answer_questions(model, learned.tokenizer, ["…"])`. Which adapter answered?
# 5. `from cfhelpers.methods.adapter_files import save_adapters`, then `save_adapters(told.model, "two.safetensors")`.
#    How large is the file?

# %% [markdown]
# ## References
#
# - Hu et al. (2022). *LoRA: low-rank adaptation of large language models.* ICLR.
# - Biderman et al. (2024). *LoRA learns less and forgets less.* TMLR.
# - Schulman and Thinking Machines Lab (2025). *LoRA without regret.* Web report.
# - Nayak et al. (2025). *Sculpting subspaces: constrained full fine-tuning in LLMs for continual learning.* (OSF)
# - Dettmers et al. (2023). *QLoRA: efficient finetuning of quantized LLMs.* NeurIPS.
# - Wang et al. (2023). *Orthogonal subspace learning for language model continual learning.* EMNLP Findings. (O-LoRA)
# - Wortsman et al. (2022). *Robust fine-tuning of zero-shot models.* CVPR. (WiSE-FT)
# - Kalajdzievski (2023). *A rank stabilization scaling factor for fine-tuning with LoRA.*
# - huggingface/peft, `method_comparison/MetaMathQA/results`, state of 2026-08-21.
#
# Previous: [4 · EWC on GPT-2](04_ewc_on_gpt2.ipynb) · Next: [6 · Progressive prompts](06_progressive_prompts.ipynb)

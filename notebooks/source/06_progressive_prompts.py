# %% [markdown]
# # 6 · Progressive prompts: can a task live outside the weights?
#
# **A model that never changes cannot forget. How much can it still learn, and what does that cost?**
#
# You will
#
# - put learned vectors in front of a text;
# - grow them task by task and measure whether earlier tasks help later ones;
# - weigh prompts against columns, frozen layers and bare heads.
#
# “RoBERTa” is a role. In `tiny` an encoder of 0.8 million weights plays it, made for this course; in `laptop`
# MiniLM; in `full` RoBERTa itself.

# %% [markdown]
# All cells take at most 1 minute in `tiny` and 5 in `laptop`; in `full` the time was not measured. Long comparisons are
# read from stored results, which were measured in `tiny`; a short one was measured in `laptop` too.
#
# Previous: [5 · LoRA](05_lora.ipynb) · Next: [7 · Replay](07_replay.ipynb)
#
# {{colab badge}}

# %% tags=["colab"]
# {{colab install}}

# %%
import itertools
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown

import cfhelpers as cf
from cfhelpers import checks, widgets
from cfhelpers.course.experiments import chapter_05
from cfhelpers.course.experiments.chapter_06 import NETWORK_RATE, TOGETHER, by_order, method_name, references
from cfhelpers.evaluation import answer_questions
from cfhelpers.evaluation.scores import evaluate_task
from cfhelpers.metrics import mean_and_interval
from cfhelpers.models.prompted import PromptedEncoder, with_prompts
from cfhelpers.models.soft_prompt import SoftPrompt
from cfhelpers.tasks.encoding import encode_question, encode_task
from cfhelpers.training import LIVE_PLANS

run = cf.start(seed=0)

# %% [markdown]
# ## Predict
#
# Sentiment, then topics, then inference, then film reviews. All weights of the encoder are frozen; for each task
# you may learn **five vectors** that it reads before the text, and a small classification head.
#
# Write down before you go on:
#
# 1. How much of the first task is lost after the fourth?
# 2. Do five vectors reach what training all weights reaches?
# 3. Does task 4 gain from the vectors of tasks 1 to 3, or suffer?
# 4. How good are the heads *without* any vectors?

# %%
for task in run.tasks("sst2", "topics", "mnli", "imdb"):
    print(f"{task.name}: {len(task.train)} texts to learn from; classes: {', '.join(task.label_names)}")
    for row in task.test.select(range(2)):
        second = f" | {row['text_pair']}" if "text_pair" in row else ""
        print(f"   {row['text'] + second:<70} {task.label_names[row['label']]}")

# %% [markdown]
# ## The baseline: all weights, one task after the other
#
# Read from stored records. A row is a moment, a column a task. Every task has a head of its own, which nothing
# overwrites: whatever falls, fell in the encoder.

# %%
stored = cf.results.load("06", profile="tiny")
orders = by_order(stored)
first = next(iter(orders.values()))  # the order above
print(
    f"{len(first['naive'].seeds)} seeds, {first['naive'].plan['steps']} steps a task, profile {first['naive'].profile}"
)

# %%
# alt: Result matrix of naive training on sst2, topics, mnli and imdb, accuracy in percent. The diagonal is high, the
#  columns below it fall.
cf.plots.result_matrix(first["naive"])
plt.show()

# %% [markdown]
# ### What to notice
#
# - Read down a column: what later tasks left of it.
# - Not every task suffers alike. Which hardly moves? This table does not say why.

# %% [markdown]
# ## A prompt that is no text
#
# A **soft prompt** is a matrix $P$ of vectors as wide as the model's token embeddings. The frozen model reads it before
# the text (Lester et al., 2021):
#
# $$p(y \mid [P; E(x)])$$
#
# | symbol | in the code |
# |---|---|
# | $E(x)$, `[B, T, D]` | `embedded`: the model's own embeddings of B texts of T tokens |
# | $P$, `[P, D]` | `prompt`: all that learns; in a shape, P is the number of its vectors |
# | $[P; E(x)]$ | `inputs_embeds`, `[B, T + P, D]` |

# %% [markdown]
# Once it has learned, no token has these vectors: no tokenizer can write them, and none of a batch's other tensors
# knows of them. Three have to grow along: the **mask** (1: read it), the **positions** (the text comes after the
# prompt), and the **labels** (−100: the prompt is nobody's target).
#
# With padding on the *left*, as for generation, the prompt belongs between padding and text:
# `[padding] [prompt] [text]`.

# %% [markdown]
# ### Exercise 6.1 · a batch behind a prompt ★★☆ 15 minutes
#
# For a causal model, return `inputs_embeds`, `attention_mask`, `position_ids` and `labels`. The padding may be on
# either side. Positions count from 0 at the first vector of the prompt. What stands on padding does not matter, but its
# mask is 0 and its label −100.
#
# <details><summary>Hint: where does a text begin?</summary>
# <code>mask.argmax(dim=1)</code> is the first 1 of each row. Going row by row is fine.
# </details>
# <details><summary>Hint: positions with padding</summary>
# Cumulate the <em>extended</em> mask, subtract 1.
# </details>


# %% exercise="6.1"
def behind_prompt(
    embedded: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor, prompt: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Put prompt [P, D] before every text of embedded [B, T, D]; mask and labels are [B, T]."""
    ### BEGIN SOLUTION
    ones, ignored = mask.new_ones(len(prompt)), labels.new_full((len(prompt),), -100)
    starts = mask.argmax(dim=1).tolist()

    def inserted(rows: torch.Tensor, piece: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.cat([row[:s], piece, row[s:]]) for row, s in zip(rows, starts, strict=True)])

    whole = inserted(mask, ones)
    return {
        "inputs_embeds": inserted(embedded, prompt),
        "attention_mask": whole,
        "position_ids": (whole.cumsum(dim=1) - 1).clamp(min=0),
        "labels": inserted(labels, ignored),
    }
    ### END SOLUTION


# %%
behind_prompt = checks.prompts.behind_prompt(behind_prompt)

# %% graded="6.1" points=2
checks.require_solved("6.1")

# %% [markdown]
# <details><summary>Solution</summary>
#
# {{solution 6.1}}
#
# The common mistake puts the prompt at position 0 of the row, before the padding. A short text then stands further from
# it than a long one, and the answer depends on who else is in the batch. The museum measures that.
# </details>

# %% [markdown]
# ## One prompt after the other
#
# **Progressive prompts** (Razdaibiedina et al., 2023) learn one prompt per task and put it before all earlier ones:
#
# $$[P_k; P_{k-1}; \dots; P_1; E(x)]$$
#
# | symbol | in the code |
# |---|---|
# | $P_k$ | the newest prompt: it learns |
# | $P_{k-1}, \dots, P_1$ | frozen since their own task |
#
# Task 1 is still asked behind $P_1$ alone. Nothing that it uses has changed, so its answers are the same, bit for bit.

# %% [markdown]
# ### Exercise 6.2 · prompts that grow ★★☆ 15 minutes
#
# Write the class. `add_prompt(vectors)` freezes every earlier prompt and adds a new one that *starts* as these vectors:
# rows of the model's embedding, for instance of words that describe the task. `forward()` returns all, newest first.
#
# <details><summary>Hint: the optimizer finds no parameters</summary>
# A plain list hides them. Use <code>torch.nn.ParameterList</code>.
# </details>
# <details><summary>Hint: learning the prompt changes the embedding</summary>
# They share memory: <code>.detach().clone()</code>.
# </details>


# %% exercise="6.2"
class Prompts(torch.nn.Module):
    """Prompts of all tasks so far; only the newest learns."""

    def __init__(self) -> None:
        ### BEGIN SOLUTION
        super().__init__()
        self.prompts = torch.nn.ParameterList()
        ### END SOLUTION

    def add_prompt(self, vectors: torch.Tensor) -> None:
        """Freeze all earlier prompts; add one that starts as a copy of vectors [P, D]."""
        ### BEGIN SOLUTION
        for prompt in self.prompts:
            prompt.requires_grad_(False)
        self.prompts.append(torch.nn.Parameter(vectors.detach().clone()))
        ### END SOLUTION

    def forward(self) -> torch.Tensor:
        """Return all vectors, the newest prompt's first."""
        ### BEGIN SOLUTION
        return torch.cat(list(self.prompts)[::-1])
        ### END SOLUTION


# %%
Prompts = checks.prompts.growing_prompts(Prompts)

# %% graded="6.2" points=2
checks.require_solved("6.2")

# %% [markdown]
# <details><summary>Solution</summary>
#
# {{solution 6.2}}
#
# The common mistake leaves earlier prompts trainable. Then the old tasks' own parameters move with every new task, and
# “progressive” prompts forget like any weights.
# </details>

# %% [markdown]
# ## Your prompts on a chat model
#
# A persona, then a workplace, as in chapter 3. The prompt starts from the words of a sentence. Your two pieces make the
# whole method; the model is frozen. Ten vectors, the rate 0.1 and twice chapter 3's steps are a first try: nothing was
# tuned.

# %%
chat = run.load("dialogpt")
tokenizer, model = chat.tokenizer, chat.model.eval().requires_grad_(False)
persona, workplace = (encode_task(task, tokenizer) for task in run.tasks("persona", "workplace"))
embedding, prompts, kept, budget = model.get_input_embeddings(), Prompts(), {}, LIVE_PLANS[run.profile, "dialogue"]
words = {persona.name: "answer questions about yourself and your life at home", workplace.name: "and now about work"}
for task in (persona, workplace):
    ids = tokenizer(words[task.name], add_special_tokens=False)["input_ids"]
    prompts.add_prompt(embedding.weight[[ids[place % len(ids)] for place in range(10)]])
    learning = [parameter for parameter in prompts.parameters() if parameter.requires_grad]
    optimizer, batches = torch.optim.AdamW(learning, lr=0.1), list(task.batches("train", budget.batch_size))
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=2 * budget.steps)
    for step in range(2 * budget.steps):
        batch = {name: tensor.to(model.device) for name, tensor in batches[step % len(batches)].items()}
        embedded = embedding(batch["input_ids"])
        loss = model(**behind_prompt(embedded, batch["attention_mask"], batch["labels"], prompts())).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        falling.step()
    kept[task.name] = with_prompts(model, [SoftPrompt(prompts())])

# %% [markdown]
# `with_prompts` is the library's version of 6.1 around the frozen model; it can also generate. Now ask, each task
# behind its own prompts:

# %%
asked = [*persona.task.test["question"][:3], *workplace.task.test["question"][:3]]
right = [*persona.task.test["answer"][:3], *workplace.task.test["answer"][:3]]
replies = {"right": right, "no prompt": answer_questions(model, tokenizer, asked)}
replies |= {f"behind {name}": answer_questions(each, tokenizer, asked) for name, each in kept.items()}
cf.tables.answers(asked, replies)

# %%
recall = {name: 100 * evaluate_task(kept[name], task) for name, task in zip(kept, (persona, workplace), strict=True)}
nothing = {task.name: 100 * evaluate_task(model, task) for task in (persona, workplace)}
weights = cf.training.find_record(cf.results.load("03", profile=run.profile, experiment="persona")[:2], "naive")
full = {name: 100 * weights.scores(name, after=name).mean() for name in weights.tasks}

# %%
Markdown(
    f"Questions answered exactly, persona and workplace: {nothing['persona']:.0f} and {nothing['workplace']:.0f} % "
    f"without a prompt, {recall['persona']:.0f} and {recall['workplace']:.0f} % behind their own. Chapter 3, all "
    f"weights, {weights.plan['steps']} steps a task: {full['persona']:.0f} and {full['workplace']:.0f} %."
)

# %% [markdown]
# **What it shows.** A frozen model can be *steered* by ten vectors, and what the first ten say does not change.
#
# **What it does not show.** What a prompt *can* hold. One run, one seed, a rate that nobody chose: whether ten vectors
# are too few or were trained badly, these numbers do not say.

# %% [markdown]
# ## Live: two tasks on the encoder
#
# On an encoder the prompt goes after the first token (`<s>`), which a pretrained head may read. The text keeps its
# positions; the head reads the mean over the *text's* states, so that this does not drift towards the prompts as they
# grow. One run, seed 0, with the settings of the stored records:

# %%
own_profile = by_order(cf.results.load("06", profile=run.profile))
chosen = next(iter(own_profile.values()))["progressive prompts"]
plan, method = cf.Plan(**chosen.plan), cf.results.make_method(chosen.method)
live = cf.learn_once(run, "roberta", list(chosen.tasks[:2]), method, plan=plan)

# %%
# alt: Validation accuracy on two tasks along the optimizer steps, learned by progressive prompts. The curve of the
#  first is level after the vertical line where the second begins.
cf.plots.learning_curves(live.record)
plt.show()

# %%
earlier, later = (task.name for task in live.tasks)
print("prompts of the second task, newest first:", live.method.prompt_names(later))
print(f"{earlier} just learned {live.record.matrix()[0, 0]:.4f}, after {later} {live.record.matrix()[1, 0]:.4f}")
print(f"stored for each prompt: {live.method.stored_bytes() / len(live.method.prompts):,.0f} bytes")

# %% [markdown]
# ## Four tasks, two orders
#
# Stored, with the baseline's steps:
#
# - **naive**: all weights, one task after the other;
# - **separate models**: a whole model per task;
# - **heads on a frozen body**: no prompt at all;
# - **one prompt per task**: each alone, without the others' vectors;
# - **one shared prompt**: goes on from task to task, the only prompt that *can* forget;
# - **progressive network** and **frozen bottom**: below;
# - **joint** (one order): after each task, all so far are learned anew together, 2.5 times the others' training.

# %% [markdown]
# **How settings were chosen.** Rates of prompts, heads and columns, and the number of frozen layers: among five, on
# validation data with **one** other seed (100), in the first order; the second order has the same. Naive, separate and
# joint training have the plan's rate, which was not tuned here (chapter 5 tried others); the shared
# prompt has that of one prompt per task.

# %%
# alt: Mean accuracy over four tasks after the last, a row per method and a marker per order of the tasks, with 95
#  percent intervals.
cf.plots.average_accuracies(orders)
plt.show()

# %%
pd.concat(
    {order: cf.tables.transfer(named, **references(first, named["naive"].tasks)) for order, named in orders.items()}
)

# %% [markdown]
# In percentage points. **Backward transfer**: what later tasks changed, negative is a loss. **Forgetting**: the fall
# from the best. **Forward transfer**: each later task, just learned, against a separate model with as many steps.
# **Intransigence**: joint training minus what was just learned.
#
# One prompt per task and separate models treat each task by itself: they were run once and stand in both orders. The
# heads were run twice, to see whether that is right.


# %%
def average(name: str):
    """Return the mean accuracy over the tasks at the end, in percent, one number per seed."""
    return 100 * np.array(first[name].results)[:, -1].mean(axis=1)


rivals = ("heads on a frozen body", "separate models")
ahead = [mean_and_interval(average("progressive prompts") - average(name)) for name in rivals]
lost = {name: cf.tables.transfer(first).loc[name, "forgetting"] for name in first if "prompt" in name}

# %%
Markdown(
    f"Points forgotten: {'; '.join(f'{name} {points}' for name, points in lost.items())}. Progressive prompts against "
    f"{' and '.join(f'{name}: {gain:+.1f} points' for name, gain in zip(rivals, ahead, strict=True))} (seed by seed)."
)

# %% [markdown]
# The other rows minus progressive prompts at the end, seed by seed, first order. A star marks an interval without
# zero; in so many cells a star or two will come by chance.

# %%
cf.tables.differences(first, "progressive prompts")

# %% [markdown]
# **Zero forgetting is no finding.** It is true by construction of everything here that freezes: nobody can forget what
# never moves, and somebody has to say which task is asked. The findings are the other columns: what was *learned*, and
# whether tasks help each other.

# %% [markdown]
# ## Does it help to have learned before?
#
# Progressive prompts promise **forward transfer**: a new task reads what earlier prompts say. The fair comparison is
# the same task, the same five vectors, the same steps, *alone*. That is another reference than in the tables above:
#
# $$\text{FWT} = \frac{1}{T-1} \sum_{j=2}^{T} (R_{jj} - a_j)$$
#
# | symbol | in the code |
# |---|---|
# | $R_{jj}$ | `matrix[j][j]`: task j when it was just learned |
# | $a_j$ | `alone[j]`: task j learned alone |

# %% [markdown]
# ### Exercise 6.3 · forward transfer ★☆☆ 8 minutes
#
# Rows of `matrix` are moments, columns tasks, NaN above the diagonal. Nothing was learned before the first task: leave
# it out.
#
# <details><summary>Hint: my result is NaN</summary>
# You read above the diagonal, or took a mean over the whole matrix.
# </details>


# %% exercise="6.3"
def forward_transfer(matrix: np.ndarray, alone: np.ndarray) -> float:
    """Return the mean gain over learning each task alone; matrix [T, T], alone [T]."""
    ### BEGIN SOLUTION
    gains = np.diagonal(matrix) - alone
    return float(gains[1:].mean())
    ### END SOLUTION


# %%
forward_transfer = checks.prompts.forward_transfer(forward_transfer)

# %% graded="6.3" points=1
checks.require_solved("6.3")

# %% [markdown]
# <details><summary>Solution</summary>
#
# {{solution 6.3}}
#
# The common mistake takes the last row. Then forgetting is mixed in, and a method that helps and forgets looks as if it
# did neither.
# </details>

# %%
# alt: Bar charts, one for each order of the tasks: the gain in points of each task learned behind earlier prompts
#  over the same task learned with one prompt alone, with 95 percent intervals.
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharey=True)
for ax, named in zip(axes, orders.values(), strict=True):
    alone = np.diagonal(named["one prompt per task"].results, axis1=1, axis2=2)
    cf.plots.gains(named["progressive prompts"], alone, ax=ax)
plt.show()


# %%
def verdict(named) -> str:
    """Return forward transfer in points, and whether these seeds can tell it from none."""
    pairs = zip(named["progressive prompts"].results, named["one prompt per task"].results, strict=True)
    found = mean_and_interval([100 * forward_transfer(np.array(a), np.diagonal(b)) for a, b in pairs])
    clear = "positive" if found.low > 0 else "negative" if found.high < 0 else "not to be told from zero"
    return f"{found:+.1f} points ({clear})"


# %%
verdicts = "; ".join(f"{order}: {verdict(named)}" for order, named in orders.items())
Markdown(f"Forward transfer of progressive prompts. {verdicts}.")

# %% [markdown]
# **What it shows.** Whether earlier prompts help, here, at this budget: a gain is *shown* only where its interval
# leaves out zero.

# %% [markdown]
# **What it does not show.** That there is none. A gain smaller than the half width goes unseen, `topics` has no room
# above 100 %, and the rate was chosen with one seed. The paper had larger models (T5, BERT) and longer training.

# %% [markdown]
# ### What is there to hand on?
#
# Earlier prompts can help only if they tell the encoder something that it lacks. Measured without training another
# prompt: take each prompt, learned alone, put it before *every* task's texts, and fit a fresh linear head on the
# frozen encoder's means **to the end**: a logistic regression, not the few steps that our heads had. Stored runs:
# accuracy in the first row, points more (+) or less (−) than it in the others.

# %%
(reading,) = [record for record in stored if record.extra["experiment"] == "reading"]
cf.tables.readings(reading)

# %%
gain = cf.tables.reading_gain
own = mean_and_interval(100 * np.mean([gain(reading, task, task) for task in reading.tasks], axis=0))
of_others = [gain(reading, *pair) for pair in itertools.permutations(reading.tasks, 2)]
others = mean_and_interval(100 * np.mean(of_others, axis=0))
behind_nothing = [np.array(reading.extra[f"{task} behind nothing"])[:, -1] for task in reading.tasks]
to_the_end, prompted = (
    mean_and_interval(each) for each in (100 * np.mean(behind_nothing, axis=0), average("progressive prompts"))
)
lacked = "a better fitted head, not a prompt" if to_the_end.low > prompted.high else "more than a better fitted head"

# %%
Markdown(
    f"Mean over the tasks, behind no prompt: {to_the_end:.1f} %; progressive prompts had {prompted:.1f} %. A task's "
    f"own prompt adds {own:+.1f} points to this reading, another's {others:+.1f}. What was lacking here: {lacked}."
)

# %% [markdown]
# So read “heads on a frozen body” as *these* heads after *these* steps. A baseline trained too briefly makes every
# method beside it look good; a prompt's gain over it need not be anything that the prompt knows.

# %% [markdown]
# ### And if the new task has little data?
#
# With 1,200 examples a task may learn by itself what an earlier prompt would have told it. So take two tasks with the
# same labels, imdb and then sst2, and leave sst2 32 examples; imdb keeps all. Steps, rates and vectors stay as above.

# %%
few = {method_name(record): record for record in stored if record.extra["experiment"] == "32 examples"}
cf.tables.comparison(few)

# %%
Markdown(
    f"Forward transfer from imdb to sst2 with {few['progressive prompts'].plan['new_size']} examples: {verdict(few)}."
)

# %% [markdown]
# ## On MiniLM
#
# 22 million weights that never saw our grammars; two tasks, three seeds, few steps. Rates of prompts and heads, the
# number of frozen layers (0: the embeddings alone) and WiSE-FT's share of the way (chapter 5): the best of three on
# validation data with one other seed. Naive and joint training are chapter 1's, with as many steps.

# %%
in_laptop = cf.results.load("06", profile="laptop")
(laptop,) = by_order(in_laptop).values()
bounds = [r for r in cf.results.load("01", profile="laptop", experiment="task change") if r.extra["stage"] == "report"]
laptop |= {record.method["name"]: record for record in bounds}
cf.tables.comparison(laptop)

# %%
ends = [name for name, r in laptop.items() if r.extra["sweep"] and cf.results.at_an_end(r, in_laptop)]
print("chosen at an edge of its grid:", ", ".join(ends) or "none")
cf.tables.differences(laptop, "heads on a frozen body")

# %% [markdown]
# In points; a star marks an interval without zero. The budget is short even for all weights: nothing here says what
# prompts reach with ten times the steps.

# %%
probes = {task: laptop["naive"].extra[f"untouched probe {task}"] for task in laptop["naive"].tasks}
read = ", ".join(f"{task} {mean_and_interval(100 * np.array(scores)):.1f} %" for task, scores in probes.items())
Markdown(f"A linear head fitted to the end on the untouched MiniLM (chapter 1): {read}.")

# %% [markdown]
# ## What it costs
#
# Each task adds its vectors to all later texts. Attention compares every position with every other, so with *long*
# texts time grows faster than length; these are short. The same 16 texts, one training step, after each task:

# %%
# alt: Milliseconds of a training step after one to four tasks. Progressive prompts rise with each task; one prompt per
#  task and training all weights stay level.
shown = ("naive", "progressive prompts", "one prompt per task", "progressive network", "heads on a frozen body")
cf.plots.step_costs({name: first[name] for name in shown})
plt.show()

# %%
cf.tables.costs(first)

# %%
adapter = cf.results.chosen(cf.results.load("05", profile="tiny", experiment="two tasks"))["told"]
stored_for = {"a prompt": first["progressive prompts"], "an adapter of chapter 5": adapter}
model_bytes = first["separate models"].stored_bytes / len(first["separate models"].tasks)
sizes_told = [f"{name} {r.stored_bytes / len(r.tasks) / model_bytes:.2%}" for name, r in stored_for.items()]
times = np.array(first["progressive prompts"].extra["step milliseconds"]).mean(axis=0)

# %%
Markdown(
    f"Stored for each task, of the encoder's bytes: {', '.join(sizes_told)}. After {len(times)} tasks a step behind "
    f"progressive prompts takes {times[-1] / times[0]:.1f} times what it took after one."
)

# %% [markdown]
# An adapter's share goes with rank over width and is large only because this model is narrow. `stored` is what the
# method keeps besides the model. Heads are part of the model for every method; here a head is larger than a prompt.
# `peak memory` is that of the whole process, libraries included: it tells these small models hardly apart.

# %% [markdown]
# ### Move the sliders
#
# How a batch lies behind progressive prompts, and how it grows.

# %%
explorer = widgets.prompted_batch()
explorer

# %%
# alt: Three texts padded on the left behind two prompts of three vectors. From left to right: padding, the newest
#  prompt, the earlier prompt, the text; positions count from the first vector.
cf.plots.prompt_layout((8, 5, 3), tasks=2, vectors=3, side="left")
plt.show()

# %% [markdown]
# ## Columns: where the idea comes from
#
# A **progressive network** (Rusu et al., 2016) gives each task a column of layers of its own. Layer $i$ of column $k$
# reads its own layer below and those of all earlier columns, which are frozen:
#
# $$h_i^{(k)} = f\Big(W_i^{(k)} h_{i-1}^{(k)} + \sum_{j<k} U_i^{(k:j)} h_{i-1}^{(j)}\Big)$$
#
# | symbol | in the code |
# |---|---|
# | $h^{(0)}$ | the frozen pretrained model, column 0 |
# | $U_i^{(k:j)}$ | lateral connections: `from_model`, `from_columns` |

# %% [markdown]
# Ours are narrow (16 units) and look at each token by itself. Prompts, adapters and LoRA can be read as cheap
# columns: the pretrained model is the old one, and what is new hangs on it. The k-th column has k lateral
# connections, so that what is stored grows with the *square* of the number of tasks. One run on the chat model, with
# the encoder's rate:

# %%
columns = cf.methods.ProgressiveNetwork(learning_rate=NETWORK_RATE)
beside = cf.learn_once(run, "dialogpt", ["persona", "workplace"], columns)
for name, column in beside.method.columns.items():
    print(f"column of {name}: {sum(parameter.numel() for parameter in column.parameters()):,} weights")
cf.tables.result_matrix(beside.record, seed=0)

# %% [markdown]
# ## Frozen bottom: the cheapest isolation
#
# Zheng et al. (2025) call much of forgetting *spurious*: the bottom layers lose their alignment with the task, not the
# knowledge. Their remedy is to freeze embeddings and bottom layers from the second task on. Does it keep most here?
# Compared with naive training, seed by seed:


# %%
def kept_share(named) -> str:
    """Return how much of naive training's forgetting the frozen bottom removes, and both ones' new-task scores."""
    pair = ("naive", "frozen bottom")
    naive, frozen = (np.array([100 * cf.metrics.forgetting(m) for m in named[name].results]) for name in pair)
    learned = (np.diagonal(named[name].results, axis1=1, axis2=2)[:, 1:].mean(axis=1) for name in pair)
    plainly, behind = (mean_and_interval(100 * scores) for scores in learned)
    removed, share = mean_and_interval(naive - frozen), 1 - frozen.mean() / naive.mean()
    learned_to = f"later tasks learned to {behind:.1f} % (naive {plainly:.1f} %)"
    return f"{removed:.1f} points of forgetting removed ({share:.0%}), {learned_to}"


layers = first["frozen bottom"].method["layers"]

# %%
shares = [f"{name}: {kept_share(named)}" for name, named in orders.items() if "frozen bottom" in named]
Markdown(f"{layers} of the encoder's layers frozen. {'; '.join(shares)}.")

# %% [markdown]
# Read all numbers: an interval that holds zero means that these seeds do not show a gain, whatever the share in
# brackets says. A frozen layer forgets nothing and learns nothing. With all layers frozen this becomes heads on the
# first task's encoder.

# %% [markdown]
# ## Both chapters in one table
#
# Chapter 5 taught adapters the same four tasks with the same texts, seeds and steps. So all can be read together, in
# points and with their costs. “full fine-tuning” has the rate that it prefers on four tasks, “naive” the plan's.
# “linear weights alone” freezes what OSF freezes, but holds no direction.

# %%
adapters = chapter_05.by_order(cf.results.load("05", profile="tiny"))
together = {}
for order, named in orders.items():
    both = named | adapters[order]
    together[order] = {name: both[name] for name in TOGETHER if name in both}
pd.concat(
    {
        order: cf.tables.transfer(named, **references(first, order.split(" → "))).join(cf.tables.costs(named))
        for order, named in together.items()
    }
)

# %%
for order, named in together.items():
    gaps = cf.tables.differences(named, "full fine-tuning")["mean"]
    shown_gaps = {name.partition(" − ")[0]: gap for name, gap in gaps.items() if "*" in gap and "joint" not in name}
    print(f"{order}: mean accuracy against full fine-tuning, where five seeds show a difference:")
    print("  ", "; ".join(f"{name} {gap.rstrip(' *')}" for name, gap in shown_gaps.items()) or "none")

# %% [markdown]
# Freezing layers was compared with naive training at the plan's rate. What if all layers learn, only more slowly?

# %%
for order, named in together.items():
    frozen = cf.tables.differences(
        {each: named[each] for each in ("full fine-tuning", "frozen bottom")}, "full fine-tuning"
    )
    print(f"{order}: frozen bottom minus full fine-tuning at its own rate: {frozen['mean'].item()} points")

# %% [markdown]
# **What it does not show.** A ranking of rows whose intervals overlap: each setting was chosen among five with one
# seed, and joint training's and naive's not at all. Training times are of several sessions on one machine.

# %% [markdown]
# Nor were all told the same: prompts, heads and the network know the task; adapters, the frozen bottom and full
# fine-tuning only which head to use.

# %% [markdown]
# ## Museum
#
# 1. **The head reads the prompt.** A RoBERTa classifier's head looks at position 0. peft puts the virtual tokens
#    *there*.
# 2. **The prompt before the padding.** On a causal model peft puts virtual tokens in front of the row and drops the
#    positions: answers depend on the other questions.
#
# Both with one draw of peft's prompt, untrained: what moves is the reader, not the task. Training prompt and head
# together may mend part of the first; that is not measured here.

# %%
from peft import PromptTuningConfig, get_peft_model
from sklearn.linear_model import LogisticRegression
from transformers import AutoModelForSequenceClassification

warnings.filterwarnings("ignore", "`is_gradient_checkpointing`")  # peft asks for it by its old name
loaded = run.load("roberta")
topics = encode_task(run.tasks("topics")[0], loaded.tokenizer)
classifier = AutoModelForSequenceClassification.from_config(loaded.model.config).eval()
classifier.base_model.load_state_dict(loaded.model.body.state_dict(), strict=False)


def first_states(encoder, split):
    """Return the state at position 0 of every text, and the labels."""
    states, labels = [], []
    with torch.no_grad():
        for batch in topics.batches(split, 64):
            inputs = {name: batch[name].to(loaded.model.device) for name in ("input_ids", "attention_mask")}
            states.append(encoder(**inputs, output_hidden_states=True)["hidden_states"][-1][:, 0].cpu())
            labels.append(batch["labels"])
    return torch.cat(states), torch.cat(labels)


# %%
plain = classifier.base_model.to(loaded.model.device)
head = LogisticRegression(max_iter=2000).fit(*first_states(plain, "train"))
with_peft = get_peft_model(classifier, PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=5)).eval()
virtual = with_peft.get_prompt(1)[0].detach()
ours = PromptedEncoder(loaded.model.body, [SoftPrompt(virtual)]).eval()


def our_states(**inputs):
    return {"hidden_states": [ours(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])[0]]}


for name, encoder in {"no prompt": plain, "through peft": with_peft, "after <s>": our_states}.items():
    print(f"{name:>12}: a head that reads position 0 is right on {head.score(*first_states(encoder, 'test')):.1%}")

# %% [markdown]
# peft's position 0 is a virtual token, and `<s>` has moved by five places. After `<s>`, the same five vectors leave the
# reader where it was.

# %%
by_peft = get_peft_model(run.load("dialogpt").model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=8))
behind = with_prompts(model, [SoftPrompt(by_peft.get_prompt(1)[0].detach())])
questions = ["Who are you?", "Could you please tell me in which city of the country you have been living for so long?"]
ids = [encode_question(tokenizer, question) for question in questions]
pad = [0] * (len(ids[1]) - len(ids[0]))
together = {
    "input_ids": torch.tensor([[tokenizer.pad_token_id for _ in pad] + ids[0], ids[1]]),
    "attention_mask": torch.tensor([pad + [1] * len(ids[0]), [1] * len(ids[1])]),
}
single_question = {"input_ids": torch.tensor([ids[0]]), "attention_mask": torch.ones(1, len(ids[0]), dtype=torch.long)}
for name, each in {"through peft": by_peft.eval(), "between padding and question": behind.eval()}.items():
    with torch.no_grad():
        next_word = [
            each(**{key: tensor.to(model.device) for key, tensor in batch.items()}).logits[0, -1].softmax(-1)
            for batch in (together, single_question)
        ]
    moved = (next_word[0] - next_word[1]).abs().sum() / 2
    print(f"{name:>30}: {moved:.2%} of the probability of the first word moves when a longer question comes along")

# %% [markdown]
# ## Run a stored point again

# %%
# Any stored point can be repeated; this one takes a quarter of a minute:
# cf.results.rerun(first["progressive prompts"], seed=1).matrix()
if chosen.profile == run.profile:
    difference = np.nanmax(np.abs(live.record.matrix() - chosen.matrix(seed=0)[:2, :2]))
    print(f"largest difference between the run above and the stored one, seed 0: {100 * difference:.2f} points")

# %% [markdown]
# ## The opening questions, answered

# %%
weighed = ("progressive prompts", "heads on a frozen body", "frozen bottom", "naive", "separate models")
averages = cf.tables.transfer(first)["average"]
shown_averages = ", ".join(f"{name} {averages[name]} %" for name in weighed)

# %%
Markdown(
    f"- **Vectors in front of a text.** Yours answered {recall['persona']:.0f} % of the persona, the model frozen.\n"
    f"- **Task by task.** Forward transfer: {verdicts}.\n"
    f"- **Weighed.** Average accuracy: {shown_averages}. A linear head, fitted to the end: {to_the_end:.1f} %."
)

# %% [markdown]
# ## Now change this
#
# In a new cell, each `again = cf.learn_once(run, "roberta", list(chosen.tasks[:2]), method, plan=plan)` and then
# `cf.tables.result_matrix(again.record)`:
#
# 1. `method = cf.methods.ProgressivePrompts(5, bottleneck=64, learning_rate=0.03)`: the paper's residual
#    reparametrisation (the prompt goes through a small network while it learns). Does it learn faster?
# 2. 1 or 20 in place of the 5: how many vectors does a task need?
# 3. `method` as above with `plan=dataclasses.replace(plan, steps=300)` (`import dataclasses`).

# %% [markdown]
# 4. Start from words: `words={"sst2": tokens}` in the method, with
#    `tokens = loaded.tokenizer("good bad", add_special_tokens=False)["input_ids"]`.
# 5. `cf.methods.PromptTuning(20, shared=True, learning_rate=0.03)`: does a longer shared prompt forget less?
# 6. `evaluate_task(live.method.prediction_model(live.model, live.tasks[1]), live.tasks[0])`: sst2 behind the prompts of
#    topics. How much hangs on being told the task?

# %% [markdown]
# ## References
#
# - Lester et al. (2021). *The power of scale for parameter-efficient prompt tuning.* EMNLP.
# - Razdaibiedina et al. (2023). *Progressive prompts: continual learning for language models.* ICLR. arXiv 2301.12314.
# - Rusu et al. (2016). *Progressive neural networks.* arXiv 1606.04671.
# - Zheng et al. (2025). *Spurious forgetting in continual learning of language models.* ICLR. arXiv 2501.13453.
# - Lopez-Paz & Ranzato (2017): backward transfer. (Their *forward* transfer is another number: the score on a task
#   *before* it is learned.) Chaudhry et al. (2018): forgetting, intransigence.

# %% [markdown]
# Previous: [5 · LoRA](05_lora.ipynb) · Next: [7 · Replay](07_replay.ipynb)

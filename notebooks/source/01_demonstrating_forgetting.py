# %% [markdown]
# # 1 · Demonstrating forgetting
#
# **What does a model lose when it learns another task, and what only looks lost?**
#
# You will
#
# - make a language model forget, and read it from a result matrix;
# - tell knowledge that is gone from knowledge out of reach;
# - recognise measurements that say something else.
#
# Running all cells takes at most 1 minute in the profile `tiny`, 10 in `laptop`, 15 in `full`.
#
# Previous: [0 · Start here](00_start_here.ipynb) · Next: [2 · Fisher information](02_fisher_information.ipynb)
#
# {{colab badge}}

# %% tags=["colab"]
# {{colab install}}

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Markdown

import cfhelpers as cf
from cfhelpers import checks, widgets

run = cf.start(seed=0)

# %% [markdown]
# ## Predict
#
# A model learns whether an opinion is positive. Then the same model learns something else: whether one sentence
# follows from another. Nobody asks it for an opinion again. Write down before you go on:
#
# 1. What share of the opinions will it still get right? Guessing gives one half.
# 2. Later the question stays and only the words change, from films to places. Will it forget more then, or less?
# 3. If it fails, is the knowledge deleted?

# %%
sentiment, inference = run.tasks("sst2", "mnli")
for task in (sentiment, inference):
    print(f"{task.name}: {len(task.train)} to learn from, {len(task.test)} to be tested on; chance {task.chance:.0%}")
    for label in range(len(task.label_names)):
        example = next(row for row in task.test if row["label"] == label)
        texts = " | ".join(example[column] for column in ("text", "text_pair") if column in example)
        print(f"   {task.label_names[label]:<14}{texts}")

# %% [markdown]
# In `tiny` and `laptop` we wrote the second task's texts, on purpose, in the words of the first: films, and words that
# praise or blame, which now mean nothing. That makes forgetting more likely than with real inference texts, which share
# fewer words with reviews. Keep it in mind when you read the numbers.

# %% [markdown]
# ## Learn one thing, then another
#
# The model is an **encoder** (the body) with a small classifier on top of it for each task (a **head**). The first task
# trains the body and its own head. The second task gets a new head and goes on training the *same body*. The first head
# is put aside untouched.
#
# `Naive` means: ordinary fine-tuning, no precaution.

# %%
naive = cf.methods.Naive()
after_first = cf.learn_once(run, "roberta", ["sst2", "mnli"], naive, stop_after=1)
after_both = after_first.then(naive)

# %%
# alt: Accuracy on both tasks along the optimizer steps. The curve of sst2 rises while sst2 is learned, and then
#  changes while mnli is learned.
cf.plots.learning_curves(after_both.record)
plt.show()

# %% [markdown]
# ### What to notice
#
# - Left of the vertical line the model learns opinions, right of it inference. The opinions asked never change:
#   validation texts, unseen, same head. The numbers further down use the test, other unseen texts.
# - Look at how many steps it takes until most of the change has happened.
# - The second curve starts after the line: before, there was no head to answer.
#
# One run is an anecdote. Further down you find the same with five seeds.

# %% [markdown]
# ## Two numbers from a matrix
#
# Write each score into a matrix: $R_{i,j}$ is the score on task $j$ after training on task $i$. With $T$ tasks
#
# $$\text{backward transfer} = \frac{1}{T-1}\sum_{j<T} \left(R_{T,j} - R_{j,j}\right)$$
#
# $$\text{forgetting} = \frac{1}{T-1}\sum_{j<T} \left(\max_{i<T} R_{i,j} - R_{T,j}\right)$$
#
# | symbol | in the code |
# |---|---|
# | $R$ | `results`, shape `[T, T]`, first index from 0 |
# | $R_{T,j}$, the end | `results[-1, j]` |
# | $R_{j,j}$, just learned | `results[j, j]` |

# %% [markdown]
# Backward transfer asks what later learning did to earlier tasks; negative is bad (Lopez-Paz & Ranzato, 2017).
# Forgetting counts from the best score a task ever had before the end; positive is bad (Chaudhry et al., 2018).
#
# Both leave out the last task: nothing came after it. It would add a zero to backward transfer; for forgetting it has
# no earlier score to fall from.
#
# Scores above the diagonal may be missing (NaN): the task had no head yet.

# %% [markdown]
# ### Exercise 1.1 · transfer and forgetting ★☆☆ 10 minutes
#
# Write the two formulas. Given `results` of shape `[T, T]`, return two floats: backward transfer, then forgetting.
#
# <details><summary>Hint: my forgetting is NaN</summary>
# A maximum over a column meets the missing scores. <code>np.nanmax</code> leaves them out.
# </details>
# <details><summary>Hint: I am told that I divide by T</summary>
# Take the mean over <code>results[-1, :-1]</code>, all columns but the last.
# </details>


# %% exercise="1.1"
def transfer_and_forgetting(results: np.ndarray) -> tuple[float, float]:
    """Return backward transfer and forgetting.

    Args:
        results: Shape [T, T]: results[i, j] is the score on task j after training on task i; NaN where it is missing.
    """
    ### BEGIN SOLUTION
    final, just_learned = results[-1, :-1], np.diagonal(results)[:-1]
    best_before_the_end = np.nanmax(results[:-1, :-1], axis=0)
    return float(np.mean(final - just_learned)), float(np.mean(best_before_the_end - final))
    ### END SOLUTION


# %%
transfer_and_forgetting = checks.demonstrating.transfer_and_forgetting(transfer_and_forgetting)

# %% graded="1.1" points=1
checks.require_solved("1.1")

# %% [markdown]
# <details><summary>Solution</summary>
#
# {{solution 1.1}}
#
# The common mistake divides by $T$. With two tasks that halves the damage: half of what was forgotten disappears
# without anything having been remembered.
# </details>

# %%
transfer, forgotten = transfer_and_forgetting(after_both.record.matrix())
Markdown(f"In this run: backward transfer **{100 * transfer:+.1f}**, forgetting **{100 * forgotten:.1f}** points.")

# %% [markdown]
# ## The experiment: several seeds
#
# A seed changes the data, their order and the new heads. These records were made by
# `python -m cfhelpers results 01`, with the settings of the run above; the notebook reads them from a file.

# %%
stored = cf.results.load("01", profile=run.profile, experiment="task change")
reported = [record for record in stored if record.extra["stage"] == "report"]
change = next(record for record in reported if record.method["name"] == "naive")
joint = next(record for record in reported if record.method["name"] == "joint")
print(f"seeds {change.seeds}, model {change.provenance['model']}, made on {change.provenance['date']}")

# %%
# alt: Two result matrices side by side: naive training in sequence, and joint training on both tasks. Rows say after
#  which task, columns on which task the score was taken.
figure, axes = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
cf.plots.result_matrix(change, ax=axes[0])
cf.plots.result_matrix(joint, ax=axes[1])  # its second row: a fresh start, trained on both together
plt.show()

# %%
before, after = change.scores("sst2", after="sst2"), change.scores("sst2")
chance = change.chance[0]
lost_share = cf.metrics.mean_and_interval((before - after) / (before - chance))
Markdown(
    f"Accuracy on sst2 went from {cf.metrics.mean_and_interval(100 * before):.1f} to "
    f"{cf.metrics.mean_and_interval(100 * after):.1f} %, where {100 * chance:.0f} % is guessing. Of what the model had "
    f"learned above chance, **{lost_share:.0%}** was lost (mean ± 95 % interval over seeds). Trained on both tasks "
    f"together, with as many steps, it reaches {cf.metrics.mean_and_interval(100 * joint.scores('sst2')):.1f} %."
)

# %% [markdown]
# **What it shows.** Learning in sequence and learning together use the same model, data and steps. What differs is that
# in sequence nothing speaks for the old task while the new one is learned.
#
# **What it does not show.** That the knowledge is *deleted*. The old head sits on a body that has moved. Perhaps the
# opinions are still in there, in other places than the head looks at.

# %% [markdown]
# ## The old head on the new encoder
#
# The score above pastes the old head back onto the new encoder, and someone tells the model which head to use
# (`task_ids`). That is an easier question than life asks; the literature calls it *task-incremental* learning.
#
# In this library `classifier(input_ids, attention_mask, task_ids=…)` chooses the head. Without `task_ids` the newest
# head answers, to whatever question.

# %% [markdown]
# ### Exercise 1.2 · accuracy with the old head ★★☆ 15 minutes
#
# Return the share of right answers over all examples of all batches. A batch has `input_ids`, `attention_mask`,
# `task_ids` and `labels`. The classifier returns an object with `.logits`, shape `[B, C]`. It may arrive in training
# mode.
#
# <details><summary>Hint: my number changes from run to run</summary>
# Dropout is on: <code>classifier.eval()</code>.
# </details>
# <details><summary>Hint: my number is close, but wrong</summary>
# The last batch is smaller than the others. Count, and divide once at the end.
# </details>


# %% exercise="1.2"
def old_task_accuracy(classifier: torch.nn.Module, batches: list[dict[str, torch.Tensor]]) -> float:
    """Return the share of examples that the head of their own task gets right, between 0 and 1."""
    ### BEGIN SOLUTION
    classifier.eval()
    right, examples = 0, 0
    with torch.no_grad():
        for batch in batches:
            inputs = {name: batch[name].to(classifier.device) for name in ("input_ids", "attention_mask", "task_ids")}
            predictions = classifier(**inputs).logits.argmax(dim=-1).cpu()
            right += int((predictions == batch["labels"]).sum())
            examples += len(batch["labels"])
    return right / examples
    ### END SOLUTION


# %%
old_task_accuracy = checks.demonstrating.old_task_accuracy(old_task_accuracy)

# %% graded="1.2" points=1
checks.require_solved("1.2")

# %% [markdown]
# <details><summary>Solution</summary>
#
# {{solution 1.2}}
#
# The common mistake leaves `task_ids` out. Nothing crashes: the inference head has three answers, the opinion labels
# two, and some of them agree by accident. A number comes out, and it means nothing.
# </details>

# %%
old = after_both.tasks[0].batches("test", 48)
print(f"after sst2: {old_task_accuracy(after_first.model, old):.1%}")
print(f"after mnli: {old_task_accuracy(after_both.model, old):.1%}")

# %% [markdown]
# ## Is it lost, or only out of reach?
#
# A **linear probe** asks the encoder alone. Freeze it, take its feature vector for each training text of the *old*
# task, fit a fresh linear classifier on these vectors, and score it on the test texts.
#
# If the probe is good where the old head fails, the body still separates opinions; only the way to read them was lost
# (Davari et al., 2022). As a control, probe the pretrained encoder.

# %% [markdown]
# ### Exercise 1.3 · a fresh linear probe ★★★ 20 minutes
#
# Features: `classifier.features(input_ids, attention_mask)`, shape `[B, D]`. Fit any linear classifier on those of the
# training batches, return its accuracy on the test batches. Leave the encoder as it is.
#
# <details><summary>Hint: how do I fit without a training loop?</summary>
# Least squares on one-hot labels: <code>torch.linalg.lstsq(features, one_hot, driver="gelsd").solution</code>, both as
# <code>.double()</code>, with a column of ones.
# </details>
# <details><summary>Hint: “the encoder was trained along with the probe”</summary>
# Compute the features under <code>torch.no_grad()</code>.
# </details>


# %% exercise="1.3"
def linear_probe(classifier: torch.nn.Module, train_batches: list, test_batches: list) -> float:
    """Return the test accuracy of a linear classifier fitted on the frozen encoder's training features."""
    ### BEGIN SOLUTION
    classifier.eval()

    def encode(batches: list) -> tuple[torch.Tensor, torch.Tensor]:
        vectors, labels = [], []
        with torch.no_grad():
            for batch in batches:
                ids, mask = (batch[name].to(classifier.device) for name in ("input_ids", "attention_mask"))
                vectors.append(classifier.features(ids, mask).double().cpu())
                labels.append(batch["labels"])
        features = torch.cat(vectors)
        return torch.cat([features, torch.ones(len(features), 1)], dim=1), torch.cat(labels)

    (x, y), (x_test, y_test) = encode(train_batches), encode(test_batches)
    weights = torch.linalg.lstsq(x, torch.nn.functional.one_hot(y).double(), driver="gelsd").solution
    return float(((x_test @ weights).argmax(dim=1) == y_test).double().mean())
    ### END SOLUTION


# %%
linear_probe = checks.demonstrating.linear_probe(linear_probe)

# %% graded="1.3" points=2
checks.require_solved("1.3")

# %% [markdown]
# <details><summary>Solution</summary>
#
# {{solution 1.3}}
#
# The common mistake fits the probe on the texts that it is scored on. With so many features for so few texts it learns
# part of the test by heart, and every encoder looks as if it had kept everything.
# </details>

# %%
train, test = (after_both.tasks[0].batches(split, 48) for split in ("train", "test"))
encoders = {
    "before both tasks": run.load("roberta").model,
    "after sst2": after_first.model,
    "after mnli": after_both.model,
}
for name, classifier in encoders.items():
    print(f"probe of the encoder {name}: {linear_probe(classifier, train, test):.1%}")

# %%
# alt: Over the seeds, accuracy on sst2 after sst2 and after mnli, of the old head and of a fresh linear probe, with
#  95 percent intervals; dotted lines for chance and for a probe of the encoder before both tasks.
probe, untouched = np.array(change.extra["probe sst2"]), np.array(change.extra["untouched probe sst2"])
figure, ax = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
for name, scores, colour, marker in (
    ("old head", np.stack([before, after], axis=1), "#0072B2", "o"),
    ("fresh linear probe", probe, "#D55E00", "s"),
):
    intervals = [cf.metrics.mean_and_interval(100 * column) for column in scores.T]
    bars = [interval.half_width for interval in intervals]
    ax.errorbar([0, 1], [i.mean for i in intervals], yerr=bars, color=colour, marker=marker, capsize=3, label=name)
ax.axhline(100 * untouched.mean(), color="#D55E00", linestyle=":", label="probe before both tasks")
ax.axhline(100 * chance, color="black", linestyle=":", label="chance")
ax.set_xticks([0, 1], ["sst2", "mnli"])
ax.set_xlabel("after learning")
ax.set_ylabel("accuracy on sst2 (% of texts)")
ax.legend()
plt.show()

# %%
head_fall = cf.metrics.mean_and_interval(100 * (before - after))
probe_fall = cf.metrics.mean_and_interval(100 * (probe[:, 0] - probe[:, 1]))
added = cf.metrics.mean_and_interval(100 * (probe[:, 0] - untouched))
share = (untouched.mean() - chance) / (probe[:, 1].mean() - chance)
Markdown(
    f"Over the seeds, the old head lost {head_fall:.1f} points and the probe {probe_fall:.1f}: the body still "
    "separates opinions that the old head no longer does. But a probe of the *untouched* encoder gets "
    f"{100 * untouched.mean():.1f} % already, from pretraining alone. Learning sst2 added {added:.1f} points; it is "
    f"with these that the probe's {probe_fall:.1f} are to be compared. {share:.0%} of what a probe finds above chance "
    "in the last encoder was there before both tasks."
)

# %% [markdown]
# **What it shows.** Two different losses: that of the answer, and that of the information behind it.
#
# **What it does not show.** That what a probe finds can be *used*. The probe was fitted on more than a thousand old
# examples; a forgetful model in service has none of them. (The stored probes are regularised logistic regressions;
# yours may differ by a point or two.)

# %% [markdown]
# ## A smaller change: the same question, other words
#
# In the second story both tasks ask for the same thing, is the opinion positive? First about films (`imdb`), then about
# places (`yelp`). Labels and question stay; the vocabulary changes. Before you run the next cell, predict: will the
# model forget more or less than with inference?

# %%
# alt: Result matrix of naive training on film reviews and then reviews of places, mean and 95 percent interval over
#  seeds.
domains = cf.results.load("01", profile=run.profile, experiment="domain change")
domain = next(r for r in domains if r.method["name"] == "naive" and r.extra["stage"] == "report")
cf.plots.result_matrix(domain)
plt.show()

# %%
first, second = domain.tasks
kept = 100 * (domain.scores(first, after=first) - domain.scores(first))
probe_change = cf.metrics.mean_and_interval(100 * np.diff(domain.extra[f"probe {first}"], axis=1)[:, 0])
Markdown(
    f"Learning {second} cost {first} {cf.metrics.mean_and_interval(kept):.1f} points with its own head; the probe of "
    f"{first} changed by {probe_change:+.1f}. The task change cost sst2 {head_fall:.1f}: there the question changed, "
    "here the words did, between domains that the encoder had met in pretraining. These are different experiments; say "
    "which one you ran."
)

# %% [markdown]
# ## How hard it forgets is also a choice
#
# The same sequence of tasks, naive training, other learning rates. This chapter's rate is the one that teaches soonest:
# the validation score of each task, averaged along its own training, was best with it, on seeds that are not shown.
# What was kept did not count. So the size of the forgetting in this chapter is that of one learning rate.

# %%
# alt: Against the learning rate on a logarithmic axis: what is kept of sst2 and what is learned of mnli, with 95
#  percent intervals.
rates = [r for r in stored if r.extra["stage"] == "learning rate"] + [change]
if len(rates) < 3:  # outside tiny the other rates were tried with the seed that chose among them only
    rates = [r for r in stored if r.extra["stage"] == "rate selection"]
rates = sorted(rates, key=lambda record: record.plan["learning_rate"])
figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
for task, colour, marker in (("sst2", "#0072B2", "o"), ("mnli", "#D55E00", "s")):
    intervals = [cf.metrics.mean_and_interval(100 * record.scores(task)) for record in rates]
    ax.errorbar(
        [record.plan["learning_rate"] for record in rates],
        [interval.mean for interval in intervals],
        yerr=[interval.half_width for interval in intervals],
        color=colour,
        marker=marker,
        capsize=3,
        label=f"{'kept' if task == 'sst2' else 'learned'}: {task}",
    )
ax.set_xscale("log")
ax.set_xticks([record.plan["learning_rate"] for record in rates], [f"{r.plan['learning_rate']:g}" for r in rates])
ax.minorticks_off()
ax.set_xlabel("learning rate (log scale)")
ax.set_ylabel("test accuracy (% of texts)")
ax.legend()
plt.show()

# %%
lines = [
    "| learning rate | along its own training | sst2, just learned | sst2, after mnli | mnli |",
    "|---|---|---|---|---|",
]
for record in rates:
    scores = (record.scores("sst2", after="sst2"), record.scores("sst2"), record.scores("mnli"))
    cells = " | ".join(f"{cf.metrics.mean_and_interval(100 * score):.1f}" for score in scores)
    lines.append(f"| {record.plan['learning_rate']:g} | {100 * cf.results.learning_speed(record):.1f} | {cells} |")
lines.append(
    f"\nThis chapter uses {change.plan['learning_rate']:g}. “Along its own training” is what decided, here with the "
    "seeds shown. A smaller step is the cheapest remedy: what does it cost, at the end and on the way?"
)
Markdown("\n".join(lines))

# %% [markdown]
# ## Museum of measurements
#
# Each row is what some published experiment reports, computed on *your* model. Only the first is the answer to “what
# share of unseen opinions does it still get right?”

# %%
classifier, fresh = after_both.model, after_both.tasks[0].batches("test", 48)
seen = after_both.tasks[0].batches("train", 48)
unnamed = [{**batch, "task_ids": torch.ones_like(batch["task_ids"])} for batch in fresh]
right = old_task_accuracy(classifier, fresh)
exhibits = {
    "unseen opinions, their own head": right,
    "the newest head answers (`task_ids` left out)": old_task_accuracy(classifier, unnamed),
    "the training texts serve as the test": old_task_accuracy(classifier, seen),
    "backward transfer, over T − 1 tasks": transfer,
    "backward transfer, over T tasks": transfer / 2,
    "probe, fitted on the training texts": linear_probe(classifier, seen, fresh),
    "probe, fitted on the test texts": linear_probe(classifier, fresh, fresh),
}
n_texts = sum(len(batch["labels"]) for batch in fresh)
error = (right * (1 - right)) ** 0.5  # of one text
rows = "".join(f"| {name} | {100 * value:.1f} |\n" for name, value in exhibits.items())
Markdown(
    f"| measurement | points |\n|---|---|\n{rows}\nThe draw of {n_texts} test texts alone makes the first row "
    f"uncertain by ± {196 * error / n_texts**0.5:.1f} points (95 %), and with 200, as is usual, it would be "
    f"± {196 * error / 200**0.5:.1f}; over the seeds above, single runs scatter with a standard deviation of "
    f"{100 * after.std(ddof=1):.0f}."
)

# %% [markdown]
# ## Try it: walk along the steps
#
# The slider moves through the stored runs. Find the step at which half of the loss has happened, and see how much of
# the new task had been learned by then.

# %%
explorer = widgets.training_steps(change)
explorer

# %%
# alt: Mean over the seeds with 95 percent bands: accuracy on sst2 and on mnli along the optimizer steps, with a
#  vertical line where mnli begins.
cf.plots.learning_curves(change)
plt.show()

# %% [markdown]
# ## Run a stored point again
#
# Every stored number comes from a run that you can repeat: `cf.results.rerun` takes a record and one of its seeds. The
# run at the top of this notebook had seed 0 and the stored settings, so on the same machine it comes out the same.
# Another machine, or another number of threads, rounds sums differently, and hundreds of unprotected steps can make
# many points of that.

# %%
# Repeat any other point; it takes as long as the training at the top did:
# cf.results.rerun(change, seed=1).matrix()
if change.profile == run.profile:
    difference = np.nanmax(np.abs(after_both.record.matrix(seed=0) - change.matrix(seed=0)))
    print(f"largest difference between the run above and the stored one, seed 0: {100 * difference:.2f} points")

# %% [markdown]
# ## The three promises

# %%
Markdown(
    f"""
- **Make a model forget and read the loss.** Naive training lost {lost_share:.0%} of what sst2 had above chance, at
  the learning rate {change.plan["learning_rate"]:g}; the table above has the others.
- **Gone or out of reach.** The old head fell by {head_fall.mean:.1f} points, a fresh probe by {probe_fall.mean:.1f};
  {share:.0%} of what that probe finds above chance comes from pretraining.
- **Measurements that say something else.** In your run the same model got {100 * right:.1f} %, or
  {100 * exhibits["the newest head answers (`task_ids` left out)"]:.1f} % if the wrong head answers.
"""
)

# %% [markdown]
# ## Now change this
#
# 1. Learn `mnli` first and `sst2` second. Is forgetting symmetric?
# 2. Add a third task, `topics`. Compare backward transfer with forgetting: when do they differ?
# 3. Probe after each tenth of the second task's steps. Does the probe fall before or after the head?
# 4. Probe an encoder with random weights: how much of the probe's score needs no pretraining at all?

# %% [markdown]
# ## References
#
# - McCloskey & Cohen (1989). *Catastrophic interference in connectionist networks.*
# - Lopez-Paz & Ranzato (2017). *Gradient episodic memory for continual learning.* NeurIPS.
# - Chaudhry et al. (2018). *Riemannian walk for incremental learning.* ECCV.
# - Davari et al. (2022). *Probing representation forgetting in supervised and unsupervised continual learning.* CVPR.
#
# Next: [2 · Fisher information](02_fisher_information.ipynb)

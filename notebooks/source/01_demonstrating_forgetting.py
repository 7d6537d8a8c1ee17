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
# “roberta” is a role. In `tiny` a RoBERTa with less than a million weights plays it, made for this course; in `laptop`
# all-MiniLM-L6-v2; in `full` RoBERTa-base. “sst2” and “mnli” are generated texts of the same form in `tiny` and
# `laptop`.

# %% [markdown]
# All cells take at most 1 minute in `tiny` and 5 in `laptop`; in `full` the time was not measured.
#
# Previous: [0 · Start here](00_start_here.ipynb) · Next: [2 · Fisher information](02_fisher_information.ipynb)
#
# {{colab badge}}

# %% tags=["colab"]
# {{colab install}}

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown

import cfhelpers as cf
from cfhelpers import checks, widgets
from cfhelpers.metrics import mean_and_interval
from cfhelpers.training.plans import PLANS

run = cf.start(seed=0)

# %% [markdown]
# ## Predict
#
# A model learns whether an opinion is positive. Then the same model learns whether one sentence follows from another.
# Nobody asks it for an opinion again. Double-click this cell and write down:
#
# 1. What share of the opinions will it still get right? Guessing gives one half.
# 2. Later the question stays and only the words change, from films to places. Will it forget more, or less?
# 3. If it fails, is the knowledge deleted?

# %%
sentiment, inference = run.tasks("sst2", "mnli")
for task in (sentiment, inference):
    print(
        f"{task.name}: {len(task.train)} to learn from, {len(task.test)} to test on; chance {100 * task.chance:.0f} %"
    )
    for label in range(len(task.label_names)):
        example = next(row for row in task.test if row["label"] == label)
        texts = " | ".join(example[column] for column in ("text", "text_pair") if column in example)
        print(f"   {task.label_names[label]:<14}{texts}")

# %% [markdown]
# In `tiny` and `laptop` we wrote the second task's texts, on purpose, in the words of the first: films, and words that
# praise or blame, which now mean nothing. That makes forgetting more likely than with real inference texts. Keep it in
# mind when you read the numbers.

# %% [markdown]
# ## Learn one thing, then another
#
# The model is an **encoder** (the body) with a small classifier on top of it for each task (a **head**). The first task
# trains the body and its own head. The second gets a new head and goes on training the *same body*. The first head is
# put aside untouched.

# %% [markdown]
# `Naive` means: ordinary fine-tuning, no precaution. To be quick, in `tiny` this run takes a third of the steps of the
# stored runs further down.

# %%
plan = PLANS[run.profile, "classification"]
short = replace(plan, steps=max(40, plan.steps // 3), curve_points=5)
naive = cf.methods.Naive()
after_first = cf.learn_once(run, "roberta", ["sst2", "mnli"], naive, plan=short, stop_after=1)
after_both = after_first.then(naive)

# %%
# alt: Accuracy on both tasks along the optimizer steps. The curve of sst2 rises while sst2 is learned, and then
#  changes while mnli is learned.
cf.plots.learning_curves(after_both.record)
plt.show()

# %% [markdown]
# ### What to notice
#
# - Left of the vertical line the model learns opinions, right of it inference. The opinions asked never change, nor
#   does their head.
# - How many steps does it take until most of the change has happened?
# - The second curve starts after the line: before, there was no head to answer.

# %% [markdown]
# The curve asks *validation* texts, unseen in training. The numbers further down use the *test*, other unseen texts.
# One run is an anecdote; further down you find the same with several.

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

# %% [markdown]
# Both leave out the last task: nothing came after it. It would add a zero to backward transfer; for forgetting it has
# no earlier score to fall from. Scores above the diagonal may be missing (NaN): the task had no head yet.

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
print(f"in this run: backward transfer {100 * transfer:+.1f}, forgetting {100 * forgotten:.1f} points")

# %% [markdown]
# ## The experiment: several seeds
#
# A **seed** is the number that all chance in a run comes from: the data, their order, the new heads. These records were
# made by `python -m cfhelpers results 01`; the notebook reads them from a file.

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

# %% [markdown]
# Behind ± stands half a **95 % interval**: where the mean over many more seeds would lie, 19 times of 20.

# %%
before, after = change.scores("sst2", after="sst2"), change.scores("sst2")
chance = change.chance[0]
lost_share = mean_and_interval(100 * (before - after) / (before - chance))

# %%
Markdown(
    f"Accuracy on sst2 went from {mean_and_interval(100 * before):.1f} to {mean_and_interval(100 * after):.1f} %; "
    f"guessing gives {100 * chance:.0f} %. Of what had been learned above chance, **{lost_share:.0f} %** was lost. "
    f"Trained on both together, with as many steps: {mean_and_interval(100 * joint.scores('sst2')):.1f} %."
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

# %% [markdown]
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
old_name, old = after_both.tasks[0].name, after_both.tasks[0].batches("test", 48)
latest = [learned.tasks[learned.n_learned - 1].name for learned in (after_first, after_both)]
for name, learned in zip(latest, (after_first, after_both), strict=True):
    print(f"{old_name}, after {name}: {100 * old_task_accuracy(learned.model, old):.1f} %")

# %% [markdown]
# ## Is it lost, or only out of reach?
#
# A **linear probe** asks the encoder alone. Freeze it, take its feature vector for each training text of the *old*
# task, fit a fresh linear classifier on these vectors, and score it on the test texts.

# %% [markdown]
# If the probe is good where the old head fails, the body still separates opinions; only the way to read them was lost
# (Davari et al., 2022). As a control, probe the pretrained encoder.

# %% [markdown]
# ### Exercise 1.3 · a fresh linear probe ★★★ 20 minutes
#
# Features: `classifier.features(input_ids, attention_mask)`, shape `[B, D]`. Fit any linear classifier on those of the
# training batches (to convergence, hardly regularised), return its accuracy on the test batches. Leave the encoder as
# it is. It may arrive in training mode.
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
    "before any task": run.load("roberta").model,
    f"after {latest[0]}": after_first.model,
    f"after {latest[1]}": after_both.model,
}
for name, classifier in encoders.items():
    print(f"probe of the encoder {name}: {100 * linear_probe(classifier, train, test):.1f} %")

# %%
# alt: Over the seeds, accuracy on sst2 after sst2 and after mnli, of the old head and of a fresh linear probe, with
#  95 percent intervals; dotted lines for chance and for a probe of the encoder before both tasks.
cf.plots.head_and_probe(change)
plt.show()

# %%
probe, untouched = np.array(change.extra["probe sst2"]), np.array(change.extra["untouched probe sst2"])
head_fall, probe_fall, added = (
    mean_and_interval(100 * (start - end))
    for start, end in ((before, after), (probe[:, 0], probe[:, 1]), (probe[:, 0], untouched))
)
share = 100 * (untouched.mean() - chance) / (probe[:, 1].mean() - chance)
print(f"the old head lost {head_fall:.1f} points, the probe {probe_fall:.1f}")
print(f"learning sst2 had added {added:.1f} points to the probe, from {100 * untouched.mean():.1f} % before both tasks")
print(f"of what a probe finds above chance in the last encoder, {share:.0f} % was there before both tasks")

# %% [markdown]
# The body still separates opinions that the old head no longer does. But much of that the *untouched* encoder did
# already, from pretraining alone. So compare what the probe lost with what learning sst2 had *added* to it, not with
# all that it finds.

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
# places (`yelp`). Before you run the next cell, look at your second prediction.

# %%
# alt: Result matrix of naive training on film reviews and then reviews of places, mean and 95 percent interval over
#  seeds.
domains = cf.results.load("01", profile=run.profile, experiment="domain change")
domain = next(r for r in domains if r.method["name"] == "naive" and r.extra["stage"] == "report")
cf.plots.result_matrix(domain)
plt.show()

# %%
first, second = domain.tasks
kept = mean_and_interval(100 * (domain.scores(first, after=first) - domain.scores(first)))
probe_change = mean_and_interval(100 * np.diff(domain.extra[f"probe {first}"], axis=1)[:, 0])
print(f"learning {second} cost {first} {kept:.1f} points with its own head; the probe changed by {probe_change:+.1f}")
print(f"learning mnli cost sst2 {head_fall:.1f}")

# %% [markdown]
# There the question changed, here the words did, between domains that the encoder had met in pretraining. These are
# different experiments; say which one you ran.

# %% [markdown]
# ## How hard it forgets is also a choice
#
# The same tasks, naive training, other learning rates. This chapter's rate is the one that teaches soonest: each task's
# validation score, averaged along its own training, was best with it, on seeds that are not shown. What was kept did
# not count.

# %%
# alt: Against the learning rate on a logarithmic axis: what is kept of sst2 and what is learned of mnli, with 95
#  percent intervals.
rates = [r for r in stored if r.extra["stage"] == "learning rate"] + [change]
if len(rates) < 3:  # outside tiny the other rates were tried with the seed that chose among them only
    rates = [r for r in stored if r.extra["stage"] == "rate selection"]
rates = sorted(rates, key=lambda record: record.plan["learning_rate"])
cf.plots.learning_rates(rates)
plt.show()

# %%
by_rate = {f"{record.plan['learning_rate']:g}": record for record in rates}
table = cf.tables.comparison(by_rate).iloc[:, :3]
table["along its own training"] = [f"{100 * cf.results.learning_speed(record):.1f}" for record in rates]
print(f"this chapter's rate: {change.plan['learning_rate']:g}")
table

# %% [markdown]
# “Along its own training” is what decided, here with the seeds shown. So the size of the forgetting in this chapter is
# that of one learning rate. A smaller step is the cheapest remedy: what does it cost, at the end and on the way?

# %% [markdown]
# ## Museum of measurements
#
# Each row is what some published experiment reports, computed on *your* model. Only the first is the answer to “what
# share of unseen opinions does it still get right?”

# %%
classifier, fresh = after_both.model, after_both.tasks[0].batches("test", 48)
seen = after_both.tasks[0].batches("train", 48)
n_tasks = len(after_both.tasks)
unnamed = [{**batch, "task_ids": torch.full_like(batch["task_ids"], n_tasks - 1)} for batch in fresh]
right, wrong_head = old_task_accuracy(classifier, fresh), old_task_accuracy(classifier, unnamed)
exhibits = {
    "unseen opinions, their own head": right,
    "the newest head answers (task_ids left out)": wrong_head,
    "the training texts serve as the test": old_task_accuracy(classifier, seen),
    "backward transfer, over T − 1 tasks": transfer,
    "backward transfer, over T tasks": transfer * (n_tasks - 1) / n_tasks,
    "probe, fitted on the training texts": linear_probe(classifier, seen, fresh),
    "probe, fitted on the test texts": linear_probe(classifier, fresh, fresh),
}
(100 * pd.Series(exhibits, name="points")).round(1).to_frame()

# %%
n_texts = sum(len(batch["labels"]) for batch in fresh)
for count in (n_texts, 200):
    spread = 196 * (right * (1 - right) / count) ** 0.5
    print(f"95 % of draws of {count} test texts would give the first row within ± {spread:.1f}")
print(f"standard deviation of the stored runs over their seeds: {100 * after.std(ddof=1):.0f} points")

# %% [markdown]
# A test is a draw of texts, a run a draw of seeds. Both scatter; an experiment that reports one run with 200 texts
# reports two accidents.

# %% [markdown]
# ## Try it: walk along the steps
#
# The slider moves through the stored runs. Find the step at which half of the loss has happened, and see how much of
# the new task had been learned by then. (Without a kernel, see the figure below.)

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
# Every stored number comes from a run that you can repeat: `cf.results.rerun` takes a record and one of its seeds. On
# the same kind of machine it comes out the same. Another machine rounds sums differently, and hundreds of unprotected
# steps can make many points of that.

# %%
# It takes up to three times as long as the training at the top; take away the first # to run it:
# again = cf.results.rerun(change, seed=0).matrix() - change.matrix(seed=0)
steps = after_both.record.plan["steps"], change.plan["steps"]
print(f"the run above took {steps[0]} steps a task, the stored ones {steps[1]}")

# %% [markdown]
# ## What you set out to do, and your predictions

# %%
Markdown(
    f"- **Make a model forget** (prediction 1): {lost_share:.0f} % of what sst2 had above chance was lost, at the "
    f"learning rate {change.plan['learning_rate']:g}; from films to places {kept:.1f} points (2).\n"
    f"- **Gone or out of reach** (3): the head fell by {head_fall.mean:.1f} points, a probe by {probe_fall.mean:.1f}.\n"
    f"- **Other measurements**: your model got {100 * right:.1f} %, or {100 * wrong_head:.1f} % with the wrong head."
)

# %% [markdown]
# ## Now change this
#
# 1. Learn `mnli` first and `sst2` second: swap the names in `learn_once`. Is forgetting symmetric?
# 2. Add a third task, `topics`. Compare backward transfer with forgetting: when do they differ?
# 3. Probe an encoder with random weights: how much of the probe's score needs no pretraining at all?
#
# ```python
# random = run.load("roberta").model
# for module in random.modules():
#     if hasattr(module, "reset_parameters"):
#         module.reset_parameters()
# linear_probe(random, train, test)
# ```

# %% [markdown]
# ## References
#
# - McCloskey & Cohen (1989). *Catastrophic interference in connectionist networks.*
# - Lopez-Paz & Ranzato (2017). *Gradient episodic memory for continual learning.* NeurIPS.
# - Chaudhry et al. (2018). *Riemannian walk for incremental learning.* ECCV.
# - Davari et al. (2022). *Probing representation forgetting in supervised and unsupervised continual learning.* CVPR.
#
# Next: [2 · Fisher information](02_fisher_information.ipynb)

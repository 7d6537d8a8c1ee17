# %% [markdown]
# # 0 · Start here
#
# **What does a language model lose when it learns something new?**
#
# You will
#
# - watch a model forget, and say how much;
# - tell evidence from a number that only looks like it;
# - find your way among the remedies and chapters.
#
# “DialoGPT” is a role. In `tiny` a GPT-2 with a million weights plays it, made for this course; in `laptop`
# SmolLM2-135M; in `full` DialoGPT-small itself.

# %% [markdown]
# Ten minutes to read, fifteen more with the exercises. All cells take at most 1 minute in the profile `tiny` and 5 in
# `laptop`; in `full` the time was not measured. (What a profile is stands near the end; `tiny` is what you get unless
# you ask.)
#
# Next: [1 · Demonstrating forgetting](01_demonstrating_forgetting.ipynb)
#
# {{colab badge}}

# %% tags=["colab"]
# {{colab install}}

# %%
import copy

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown
from tqdm.auto import tqdm

import cfhelpers as cf
from cfhelpers import checks, widgets
from cfhelpers.evaluation import answer_questions
from cfhelpers.metrics import mean_and_interval
from cfhelpers.models import load_model
from cfhelpers.worlds import feedback

run = cf.start(seed=0)

# %% [markdown]
# ## Predict
#
# A small chat model learns things about itself: its favorite color, its pet, its home. We call that its **persona**.
# Then it learns about its workplace, and nobody mentions the persona again. Double-click this cell and write down:
#
# 1. What share of the questions about its persona will it still answer right?
# 2. When it no longer knows the answer, what will it say?

# %% [markdown]
# ## A model forgets
#
# The next cell trains. `Naive` means ordinary fine-tuning, without any precaution: first on the persona, then on the
# workplace. It is the same model all along; it has no idea that the lessons are two.

# %%
naive = cf.methods.Naive()
taught = cf.learn_once(run, "dialogpt", ["persona", "workplace"], naive, stop_after=1)
moved_on = taught.then(naive)

# %%
test = taught.tasks[0].task.test
asked = test.select(range(0, len(test), len(test) // 6))
moments = {"before": run.load("dialogpt").model, "after persona": taught.model, "after workplace": moved_on.model}
answers = {moment: answer_questions(model, taught.tokenizer, asked["question"]) for moment, model in moments.items()}
cf.tables.answers(asked["question"], {"right": asked["answer"], **answers})

# %% [markdown]
# The same for all questions, along the training. **Recall** is the share of questions whose whole answer is right. (If
# you know another recall, from classifiers: this is the accuracy of whole answers.)

# %%
# alt: Share of questions answered right along the optimizer steps. The persona's curve rises while the persona is
#  learned and falls while the workplace is learned; the workplace's curve rises right of the vertical line.
cf.plots.learning_curves(moved_on.record)
plt.show()

# %% [markdown]
# ### What to notice
#
# - Right of the line the persona is not trained, and not defended.
# - The model does not fall silent. It answers in whole sentences: forgetting does not announce itself.
# - Some facts survive.
#
# McCloskey and Cohen (1989) called this **catastrophic interference**.

# %% [markdown]
# The curve asks *validation* questions, which may be looked at while choosing settings. The numbers below are from the
# *test*, in yet other words, which are looked at once.

# %% [markdown]
# ## How exercises and checks work
#
# Replace `raise NotImplementedError` with your code and run the cell, then the one below it, the **check**. A right
# answer is used from there on. An unwritten one is replaced by the library's: run everything first, solve later. Hints
# and solution are folded; click to open them.

# %% [markdown]
# A wrong answer stops the notebook and is told its mistake. To go on without solving it, put `raise
# NotImplementedError` back in, and run both cells again.

# %% [markdown]
# ## How much is that?
#
# Accuracy fell from 90 % to 60 %: is that much? With two answers to choose from, guessing gives 50 %. So the model had
# learned 40 points more than a guess, and 30 of them are gone: three quarters of what it had learned.
#
# $$\text{share lost} = \frac{\text{before} - \text{after}}{\text{before} - \text{chance}}$$

# %% [markdown]
# ### Exercise 0.1 · the share lost ★☆☆ 3 minutes
#
# Return the share of what had been learned that is lost. All three numbers are shares between 0 and 1. If the model got
# better, the result is negative.
#
# <details><summary>Hint: I am told that chance is left out</summary>
# It belongs in the denominator: <code>before - chance</code> is what there was to lose.
# </details>


# %% exercise="0.1"
def share_lost(before: float, after: float, chance: float) -> float:
    """Return which share of what had been learned above chance was lost."""
    ### BEGIN SOLUTION
    return (before - after) / (before - chance)
    ### END SOLUTION


# %%
share_lost = checks.starting.share_lost(share_lost)

# %% graded="0.1" points=1
checks.require_solved("0.1")

# %% [markdown]
# <details><summary>Solution</summary>
#
# {{solution 0.1}}
#
# The common mistake divides by `before`. With two answers to choose from, a model that has forgotten everything still
# scores 50 %, and the loss looks half as large as it is.
# </details>

# %%
record = moved_on.record
before, after, chance = record.scores("persona", after="persona")[0], record.scores("persona")[0], record.chance[0]
lost_here = share_lost(before, after, chance)
print(f"your run: {100 * before:.0f} % right, then {100 * after:.0f} %; a guess gets {100 * chance:.0f} %")
print(f"lost of what had been learned: {100 * lost_here:.0f} %")

# %% [markdown]
# A guess here says a sentence of the right form with any of the values that it could have: “I live in …”, some town.

# %% [markdown]
# One run is an anecdote. Each run has a **seed**, the number that all its chance comes from: which facts, in which
# order. Chapter 3 stored several runs with a seed each; over them comes a mean, and a **95 % interval**: where the mean
# over many more seeds would lie, 19 times of 20.

# %%
reported = [each for each in cf.results.load("03", profile=run.profile) if each.extra["stage"] == "report"]
plain, joint = (next(each for each in reported if each.method["name"] == name) for name in ("naive", "joint"))
pairs = zip(plain.scores("persona", after="persona"), plain.scores("persona"), strict=True)
lost = mean_and_interval([100 * share_lost(*pair, plain.chance[0]) for pair in pairs])
print(f"lost over {len(plain.seeds)} seeds: {lost:.0f} % (mean ± 95 % interval)")

# %% [markdown]
# ## The result matrix
#
# Write down every score at every moment: $R_{i,j}$ is the score on task $j$ after training on task $i$. A **row** is a
# moment, a **column** is a task. Go down a column and you see what became of a task.

# %%
# alt: Result matrix of naive training on persona and then workplace, mean and 95 percent interval over seeds. Rows say
#  after which task, columns on which task the score was taken.
cf.plots.result_matrix(plain)
plt.show()

# %% [markdown]
# The **average accuracy** looks at the end only: how good is the model, over all $T$ tasks, when everything has been
# learned? (It is called so whatever the score is; here it is an average recall.)
#
# $$A = \frac{1}{T} \sum_{j=1}^{T} R_{T,j}$$

# %% [markdown]
# ### Exercise 0.2 · average accuracy ★☆☆ 4 minutes
#
# Given `results` of shape `[T, T]`, return the average accuracy. Python counts from 0, and −1 is the last.
#
# <details><summary>Hint: I am told that rows and columns are swapped</summary>
# <code>results[-1]</code> is the last row, <code>results[:, -1]</code> the last column.
# </details>
# <details><summary>Hint: my result is NaN</summary>
# Scores taken before a task was learned may be missing. The last row has none of those.
# </details>


# %% exercise="0.2"
def average_accuracy(results: np.ndarray) -> float:
    """Return the mean score over all tasks at the end.

    Args:
        results: Shape [T, T]: results[i, j] is the score on task j after training on task i.
    """
    ### BEGIN SOLUTION
    return float(np.mean(results[-1]))
    ### END SOLUTION


# %%
average_accuracy = checks.starting.average_accuracy(average_accuracy)

# %% graded="0.2" points=1
checks.require_solved("0.2")

# %% [markdown]
# <details><summary>Solution</summary>
#
# {{solution 0.2}}
#
# The common mistake takes the last column: how the newest task was doing all along. In papers, heat maps with swapped
# axes are not rare. Read the labels before the colors.
# </details>

# %%
averages = {
    each.method["name"]: mean_and_interval([100 * average_accuracy(each.matrix(seed)) for seed in each.seeds])
    for each in (plain, joint)
}
print(f"one lesson after the other: {averages['naive']:.0f} %; both lessons mixed: {averages['joint']:.0f} %")

# %% [markdown]
# Both saw the same data and took as many steps. That gap is what this course is about.

# %% [markdown]
# ## What counts as evidence?
#
# “It still says blue!” A number shows that an **ability** was forgotten only if four things hold:
#
# 1. **Another task** was learned after the tested one.
# 2. The test uses **unseen examples**.
# 3. There is a score from **before**: just after the tested task was learned.
# 4. There is a score from **after** the other.
#
# Each of the four is missing in some published notebook.

# %% [markdown]
# ### Exercise 0.3 · can this experiment show forgetting? ★★☆ 8 minutes
#
# ```python
# {"learned": ["persona", "workplace"], "tested": "persona", "split": "test", "tested after": ["persona", "workplace"]}
# ```
#
# Return `True` if such an experiment can show that the ability to do `tested` was forgotten.
#
# | key | meaning |
# |---|---|
# | `learned` | the tasks, in order |
# | `tested` | the one task that is tested |
# | `split` | its examples: "train" or "test" |
# | `tested after` | the moments: after which tasks a score was taken |

# %% [markdown]
# One moment must be just after the tested task, one after some *other* task that came later.
#
# <details><summary>Hint: how do I find what came later?</summary>
# <code>learned[learned.index(tested) + 1:]</code>, once you know that it is in there.
# </details>


# %% exercise="0.3"
def shows_forgetting(experiment: dict) -> bool:
    """Return whether the experiment can show that the ability to do the tested task was forgotten."""
    ### BEGIN SOLUTION
    learned, tested = experiment["learned"], experiment["tested"]
    if tested not in learned or experiment["split"] != "test" or tested not in experiment["tested after"]:
        return False
    others = [task for task in learned[learned.index(tested) + 1 :] if task != tested]
    return any(task in experiment["tested after"] for task in others)
    ### END SOLUTION


# %%
shows_forgetting = checks.starting.shows_forgetting(shows_forgetting)

# %% graded="0.3" points=2
checks.require_solved("0.3")

# %% [markdown]
# <details><summary>Solution</summary>
#
# {{solution 0.3}}
#
# The common mistake is to ask only for a good score at the end. A model that never learned anything else has that, and
# so has one that is asked its own training examples.
# </details>

# %%
designs = {
    "teach “blue”, ask for the color": (["persona"], "test", ["persona"]),
    "the old task is also the new one": (["persona", "persona"], "test", ["persona", "persona"]),
    "tested with the training questions": (["persona", "workplace"], "train", ["persona", "workplace"]),
    "only a score at the end": (["persona", "workplace"], "test", ["workplace"]),
    "the run above": (["persona", "workplace"], "test", ["persona", "workplace"]),
}
keys = ("learned", "split", "tested after")
verdicts = {
    name: shows_forgetting({"tested": "persona", **dict(zip(keys, design, strict=True))})
    for name, design in designs.items()
}
pd.Series(verdicts, name="can it show that an ability was forgotten?").map({True: "yes", False: "no"}).to_frame()

# %% [markdown]
# Even sound evidence can mislead in two ways. A model that learns *nothing* forgets nothing: always read the new task's
# score beside the old one's. And a comparison of methods is fair only with equal steps and equally many settings
# tried.

# %% [markdown]
# ## A map: four families of remedies
#
# | family | idea | chapters |
# |---|---|---|
# | **regularisation** | hold the weights near their old values | [2], [3], [4] |
# | **rehearsal** | mix old examples, kept or generated, into the new | [7], [8] |
# | **parameter isolation** | give every task weights of its own | [5], [6] |
# | **memory** | leave the weights alone and look things up | later |
#
# [2]: 02_fisher_information.ipynb
# [3]: 03_ewc_on_dialogpt.ipynb
# [4]: 04_ewc_on_gpt2.ipynb
# [5]: 05_lora.ipynb
# [6]: 06_progressive_prompts.ipynb
# [7]: 07_replay.ipynb
# [8]: 08_distillation.ipynb

# %% [markdown]
# | family | costs | what it cannot do |
# |---|---|---|
# | **regularisation** | an old value and an importance per weight | know how strong to be: too strong blocks learning |
# | **rehearsal** | the kept examples, and training on them | work where old data must go; keep what is not in the mix |
# | **parameter isolation** | weights that grow with the tasks | tell which task a question is; let new help old |
# | **memory** | a store, and a search for every answer | teach a skill; be better than what it finds |

# %%
chosen = {"naive": plain, **cf.results.chosen(reported), "joint": joint}
cf.tables.comparison(chosen)

# %% [markdown]
# Chapter 3's stored results, each method with its best setting (recall in percent). `naive` does nothing, `joint`
# learns everything together: the bounds of what is kept. `ewc` holds each weight the more, the more it mattered, `l2sp`
# all alike; `replay`, where listed, mixes 16 kept dialogues in. Other tasks may order them differently.

# %% [markdown]
# Start with [chapter 1](01_demonstrating_forgetting.ipynb), which takes the measuring apart. Then 2 and 3, or straight
# to 3 if you want to build something.

# %% [markdown]
# ## Where it is used
#
# | where | what is new | what must not get lost |
# |---|---|---|
# | knowledge that ages: news, law, prices | this month's facts | the language, and the facts that still hold |
# | a field of its own: a hospital, a bank | its texts and its terms | general ability, and good manners |
# | one person's assistant | that person's habits | what it does for everybody else |
#
# The alternative is to train again from the start, on everything. That keeps most, costs most, and needs all old data.

# %% [markdown]
# ## What else can go wrong
#
# Forgetting is one trouble of a model that keeps learning. Three others come with it.
#
# - **Scaling.** What a method stores or computes may grow with the model, or with the number of tasks.
# - **Evaluation.** After each of $T$ tasks there are $T$ tests to take, each with unseen examples of its own.
# - **Bias.** A model that learns from data which it has influenced itself can drift, a little more with every update.

# %% [markdown]
# ### Bias that grows with each update
#
# In our world, seven of ten sentences like “The doctor says that …” go on with *he*, three with *she*. A model learns
# that once. Then come five updates, from the world as before (the control), or from its own words.

# %% [markdown]
# Its words are drawn at **temperature** 0.5, as chat programs often do: a temperature below 1 makes the probable word
# more probable than the model thinks it is. (The small model of `tiny` does this in every profile: it trains often.)

# %%
world, rate = 0.7, 2.5e-4
deployed = load_model("gpt2", "tiny")
sentences = feedback.TwoEndings(deployed.tokenizer)
sentences.teach(deployed.model, world, steps=60, batch_size=32, learning_rate=rate, seed=99)
histories = {"the world": [], "its own words, surer": []}
for name, seed in tqdm([(name, seed) for name in histories for seed in (0, 1)], desc="histories"):
    model = copy.deepcopy(deployed.model)
    shares = [float(sentences.share(model).mean())]
    for update in range(5):
        said = world if name == "the world" else sentences.share(model, temperature=0.5)
        sentences.teach(model, said, steps=6, learning_rate=rate, seed=10 * seed + update)
        shares.append(float(sentences.share(model).mean()))
    histories[name].append(shares)

# %%
# alt: Share of sentences that go on with he after each of five updates, two thin lines for single histories each, for
#  updates from the world and from the model's own words spoken surer.
cf.plots.shares_over_updates(histories, taught=world)
plt.show()

# %% [markdown]
# **What it shows.** Nobody changed the world. Where the model speaks surer than it is, the commoner word wins.
#
# **What it does not show.** How fast that goes in a large model. These are two histories each, in noisy steps: the
# control wanders too.

# %% [markdown]
# **What theory adds.** At temperature 1 a model that learned exactly what it said would not be pushed to either side.
# But a draw is never exact; its errors add up, and in the end one word dies out by chance (Taori & Hashimoto, 2023;
# Shumailov et al., 2024).

# %% [markdown]
# ### Try it: how sure is too sure?
#
# If each update learned exactly what was said, a share $p$ would become
#
# $$p' = \frac{p^{1/\tau}}{p^{1/\tau} + (1-p)^{1/\tau}}$$
#
# at temperature $\tau$. Move both sliders: the black line with crosses is predicted, the others measured. What happens
# at $\tau = 1$, above it, or from one half? (Without a kernel, see the figure below.)

# %%
explorer = widgets.feedback(histories)
explorer

# %%
# alt: Predicted share after each of five updates for four temperatures, starting from 70 percent. Below temperature 1
#  the share rises towards 100 percent, at 1 it stays, above 1 it falls towards one half.
figure, ax = plt.subplots(figsize=(5, 3), layout="constrained")
for temperature, style in ((0.3, "-o"), (0.5, "--s"), (1.0, ":^"), (2.0, "-.D")):
    shares = [world]
    for _ in range(5):
        shares.append(feedback.next_share(shares[-1], temperature))
    ax.plot([100 * share for share in shares], style, label=f"temperature {temperature:g}")
ax.set(xlabel="updates", ylabel="predicted share (%)", ylim=(-3, 103))
ax.legend()
plt.show()

# %% [markdown]
# ## How profiles work
#
# | profile | models | runs on |
# |---|---|---|
# | `tiny` | two small ones, trained for this course and part of it | anything |
# | `laptop` | SmolLM2-135M and all-MiniLM-L6, from two Python packages | a laptop |
# | `full` | DialoGPT, GPT-2, RoBERTa, BERT, from the Hugging Face hub | a graphics card |
#
# The notebooks are the same. They ask for a role, such as `run.load("dialogpt")`, and the profile decides which model
# plays it. `cf.start(profile="laptop")` chooses one.

# %% [markdown]
# What takes long was run before and is read from a file, by `cf.results.load`; the notebooks say where.

# %% [markdown]
# ## Glossary
#
# | term | meaning |
# |---|---|
# | task | something to learn, with its own training, validation and test examples |
# | continual learning | learning tasks one after the other, without all old data at hand |
# | catastrophic forgetting | losing much of an old task, quickly, by learning a new one |
# | stability, plasticity | holding on to the old; being able to learn the new. One is easy without the other |
# | backward transfer | what later tasks did to earlier ones; negative is forgetting |
# | forward transfer | how much earlier tasks help a later one |
# | intransigence | what was never learned, because old knowledge was defended too hard |
# | naive, joint | fine-tuning without precaution; training on all tasks together |
# | anchor | the weights as they were when the old task was known |
# | L2, L2-SP | a penalty that holds all weights alike |
# | EWC | elastic weight consolidation: a penalty that holds each weight by its importance |
# | penalty, strength λ | a price for leaving the anchor; how high it is |
# | sweep | the same run with one setting after another |
# | importance, Fisher information | how much each weight matters to what the model says |
# | rank correlation | 1 if two lists put the weights in the same order, 0 if their orders have nothing in common |
# | recall | share of questions whose whole answer is right |
# | nat | unit of the loss: minus the natural logarithm of a probability. 0 is certainty, 0.7 one chance in two |
# | perplexity | among how many equally likely tokens the model seems to choose; lower is better |
# | temperature | below 1, probable words are drawn more often than the model thinks; above 1, less often |
# | head | the small classifier on top of an encoder, one for each task |
# | probe | a fresh classifier, to ask what the encoder still contains |
# | replay | training on kept old examples along with the new |
# | seed | the number that all chance in a run comes from; another seed, another run |
# | 95 % interval | where the mean over many more seeds would lie, 19 times of 20 |

# %% [markdown]
# ## What you set out to do, and your predictions

# %%
Markdown(
    f"- **One number** (prediction 1). Learning the workplace cost {100 * lost_here:.0f} % of the persona.\n"
    f"- **Evidence.** Of {len(verdicts)} experiments, {sum(verdicts.values())} can show forgetting.\n"
    "- **Four families.** Regularisation, rehearsal, parameter isolation, memory. And watch the bias."
)

# %% [markdown]
# Prediction 2: see the table at the top. It does not say “I do not know”.

# %% [markdown]
# ## Now change this
#
# 1. Teach the workplace first and the persona second: swap the two names in `learn_once`, and `"persona"` for
#    `"workplace"` where the share lost is computed. Is as much lost?
# 2. Let half of what it learns from its own words come from the world: write
#    `0.5 * world + 0.5 * sentences.share(model, temperature=0.5)` after `else`. Is a half enough?
# 3. Draw at temperature 2. Does the model become fair, or only undecided?

# %% [markdown]
# ## References
#
# - McCloskey & Cohen (1989). *Catastrophic interference in connectionist networks.*
# - Lopez-Paz & Ranzato (2017). *Gradient episodic memory for continual learning.* NeurIPS. (the result matrix)
# - Wang et al. (2024). *A comprehensive survey of continual learning: theory, method and application.* TPAMI.
# - Taori & Hashimoto (2023). *Data feedback loops: model-driven amplification of dataset biases.* ICML.
# - Shumailov et al. (2024). *AI models collapse when trained on recursively generated data.* Nature.
#
# Next: [1 · Demonstrating forgetting](01_demonstrating_forgetting.ipynb)

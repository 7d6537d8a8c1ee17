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
# Five minutes to read, fifteen more with the exercises. Running all cells takes at most 1 minute in the profile
# `tiny`, 10 in `laptop`, 15 in `full`.
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
from IPython.display import Markdown
from tqdm.auto import tqdm

import cfhelpers as cf
from cfhelpers import checks, widgets
from cfhelpers.course.experiments import REPORTED_SEEDS
from cfhelpers.evaluation import answer_questions
from cfhelpers.metrics import mean_and_interval
from cfhelpers.worlds import feedback

run = cf.start(seed=0)

# %% [markdown]
# ## Predict
#
# A small chat model learns things about itself: its favorite color, its pet, its home. We call that its **persona**.
# Then it learns about the place where it works, and nobody mentions the persona again. Write down before you go on:
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
color = test["fact"].index("assistant.favorite_color")
asked = test.select([color, *range(0, len(test), len(test) // 6)])
moments = {"before": run.load("dialogpt").model, "after persona": taught.model, "after workplace": moved_on.model}
answers = {moment: answer_questions(model, taught.tokenizer, asked["question"]) for moment, model in moments.items()}
rows = ["| question | right | " + " | ".join(answers) + " |", "|---" * (2 + len(answers)) + "|"]
for question, right, *said in zip(asked["question"], asked["answer"], *answers.values(), strict=True):
    marked = (f"**{each}**" if each == right else each.replace("|", "/") for each in said)
    rows.append(f"| {question} | {right} | " + " | ".join(marked) + " |")
Markdown("\n".join(rows))

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
# - Some facts survive. The color alone would overstate the loss: on purpose, one workplace answer also says “I like …”
#   with another color.
# - The curve asks validation questions; the numbers below are from the test, in yet other words.
#
# McCloskey and Cohen (1989) called this **catastrophic interference**.

# %% [markdown]
# ## How exercises and checks work
#
# An exercise is a function to be written. Replace `raise NotImplementedError` with your code and run the cell, then the
# one below it, the **check**.
#
# - A right answer is used from there on.
# - A wrong one stops the notebook and is told its mistake.
# - An unwritten one is replaced by the library's, so that you can run everything first and solve later.
#
# Hints and the solution are folded; click to open them.

# %% [markdown]
# ## How much is that?
#
# Accuracy fell from 90 % to 60 %: is that much? If there are two answers to choose from, guessing gives 50 %. So the
# model had learned 40 points more than a guess, and 30 of them are gone: three quarters of what it had learned.
#
# $$\text{share lost} = \frac{\text{before} - \text{after}}{\text{before} - \text{chance}}$$

# %% [markdown]
# ### Exercise 0.1 · the share lost ★☆☆ 3 minutes
#
# Return the share of what had been learned that is lost. All three numbers are shares between 0 and 1. If the model got
# better, the result is negative.
#
# <details><summary>Hint: I am told that chance is left out</summary>
# It belongs into the denominator: <code>before - chance</code> is what there was to lose.
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
stored = cf.results.load("03", profile=run.profile)
reported = [each for each in stored if each.extra["stage"] == "report"]
plain = next(each for each in reported if each.method["name"] == "naive")
pairs = zip(plain.scores("persona", after="persona"), plain.scores("persona"), strict=True)
lost = mean_and_interval([100 * share_lost(*pair, plain.chance[0]) for pair in pairs])
before, after = record.scores("persona", after="persona")[0], record.scores("persona")[0]
Markdown(
    f"In your run the persona went from {before:.0%} to {after:.0%} of the test questions; a guess gets "
    f"{record.chance[0]:.0%} (the right form of answer, any of its values). That is "
    f"**{share_lost(before, after, record.chance[0]):.0%}** of what had been learned. "
    f"One run is an anecdote: over the {len(plain.seeds)} seeds that chapter 3 has stored, {lost:.0f} % was lost "
    "(mean ± 95 % interval)."
)

# %% [markdown]
# ## The result matrix
#
# Write down every score at every moment: $R_{i,j}$ is the score on task $j$ after training on task $i$. A **row** is a
# moment, a **column** is a task. Go down a column and you see what became of a task.
#
# The **average accuracy** looks at the end only: how good is the model, over all $T$ tasks, when everything has been
# learned?
#
# $$A = \frac{1}{T} \sum_{j=1}^{T} R_{T,j}$$

# %%
# alt: Result matrix of naive training on persona and then workplace, mean and 95 percent interval over seeds. Rows say
#  after which task, columns on which task the score was taken.
cf.plots.result_matrix(plain)
plt.show()

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
joint = next(each for each in reported if each.method["name"] == "joint")
averages = {
    each.method["name"]: mean_and_interval([100 * average_accuracy(each.matrix(seed)) for seed in each.seeds])
    for each in (plain, joint)
}
Markdown(
    f"One lesson after the other, the average accuracy is {averages['naive']:.0f} %; with both lessons mixed and as "
    f"many steps it is {averages['joint']:.0f} %. Both saw the same data. That gap is what this course is about."
)

# %% [markdown]
# ## What counts as evidence?
#
# “It still says blue!” A number shows that an **ability** was forgotten only if four things hold:
#
# 1. **Another task** was learned after the tested one.
# 2. The test uses **unseen examples**. A fall on trained ones is forgetting too, of these examples.
# 3. There is a score from **before**: just after the tested task was learned.
# 4. There is a score from **after** the other.
#
# Each of the four is missing in some published notebook.

# %% [markdown]
# ### Exercise 0.3 · can this experiment show forgetting? ★★☆ 8 minutes
#
# An experiment is a dictionary, for instance
#
# ```python
# {"learned": ["sst2", "mnli"], "tested": "sst2", "split": "test", "tested after": ["sst2", "mnli"]}
# ```
#
# Return `True` if it can show that the ability to do `tested` was forgotten. `learned` is in order; `split` is "train"
# or "test".
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
rows = ["| experiment | can it show that an ability was forgotten? |", "|---|---|"]
for name, (learned, split, moments) in designs.items():
    experiment = {"learned": learned, "tested": "persona", "split": split, "tested after": moments}
    rows.append(f"| {name} | {'yes' if shows_forgetting(experiment) else 'no'} |")
Markdown("\n".join(rows))

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
# | **rehearsal** | mix old examples, kept or generated, into the new | compared in [3]; its own later |
# | **parameter isolation** | give every task weights of its own | later |
# | **memory** | leave the weights alone and look things up | later |
#
# | family | costs | what it cannot do |
# |---|---|---|
# | **regularisation** | an old value and an importance per weight | know how strong to be: too strong blocks learning |
# | **rehearsal** | the kept examples, and training on them | work where old data must go; keep what is not in the mix |
# | **parameter isolation** | weights that grow with the tasks | tell which task a question is; let new help old |
# | **memory** | a store, and a search for every answer | teach a skill; be better than what it finds |
#
# [2]: 02_fisher_information.ipynb
# [3]: 03_ewc_on_dialogpt.ipynb
# [4]: 04_ewc_on_gpt2.ipynb

# %%
chosen = {"joint": joint, **cf.results.chosen(reported), "naive": plain}
families = {"ewc": "regularisation", "l2sp": "regularisation", "replay": "rehearsal"}
rows = ["| method | family | persona kept | workplace learned | stored |", "|---|---|---|---|---|"]
for name in ("naive", "ewc", "l2sp", "replay", "joint"):
    if name in chosen:
        kept, learned = (mean_and_interval(100 * chosen[name].scores(task)) for task in ("persona", "workplace"))
        store = "all data" if name == "joint" else f"{chosen[name].stored_bytes / 1e3:,.0f} kB"
        rows.append(f"| {name} | {families.get(name, 'none')} | {kept:.0f} % | {learned:.0f} % | {store} |")
Markdown("\n".join(rows))

# %% [markdown]
# Chapter 3's stored results (mean ± 95 % interval over seeds), each method with its best setting. `naive` does nothing;
# `joint` learns everything together: lower and upper bound of what is kept. `ewc` holds each weight the more, the more
# it mattered, `l2sp` all alike; `replay`, where listed, mixes 16 kept dialogues in. Other tasks may order them
# differently.
#
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
# The alternative, training again from the start on everything, is the bound that what is kept has to be compared with.
# It costs the most, and it needs all old data.

# %% [markdown]
# ## What else can go wrong
#
# Forgetting is one trouble of a model that keeps learning. Three others come with it.
#
# **Scaling.** What a method stores or computes may grow with the model, or with the number of tasks.
#
# **Evaluation.** After each of $T$ tasks there are $T$ tests to take, and each wants unseen examples of its own.
#
# **Bias.** A model that is updated on data which it has influenced itself can drift, a little more with every update.

# %%
n_weights = sum(parameter.numel() for parameter in taught.model.parameters())
bytes_per_weight = chosen["ewc"].stored_bytes / n_weights
Markdown(
    f"Measured: EWC stores {bytes_per_weight:.1f} bytes for each of this model's {n_weights / 1e6:.1f} million "
    f"weights. At that rate a model of 7 billion weights needs {7e9 * bytes_per_weight / 1e9:.0f} GB beside itself; "
    f"with one penalty for each of ten tasks, {70e9 * bytes_per_weight / 1e9:.0f} GB. Ten tasks, all tested after each "
    f"of them, make {10 * 10} test runs."
)

# %% [markdown]
# ### Bias that grows with each update
#
# In our world, seven of ten sentences like “The doctor says that …” go on with *he*, three with *she*. A model learns
# that once. Then come five updates, each of six steps with 16 sentences, whose endings are drawn from
#
# - **the world**, seven in ten as before: the control;
# - **its own words**, as probable as it thinks them;
# - **its own words, surer**: at temperature 0.5. Chat programs often use one below 1.

# %%
world, rate = 0.7, taught.plan.learning_rate / 2
deployed = run.load("gpt2")
sentences = feedback.TwoEndings(deployed.tokenizer)
sentences.teach(deployed.model, world, steps=60, batch_size=32, learning_rate=rate, seed=99)
sources = {"the world": None, "its own words": 1.0, "its own words, surer": 0.5}
histories = {name: [] for name in sources}
for seed in tqdm(REPORTED_SEEDS[run.profile], desc="histories"):
    for name, temperature in sources.items():
        model = copy.deepcopy(deployed.model)
        shares = [float(sentences.share(model).mean())]
        for update in range(5):
            taught_share = world if temperature is None else sentences.share(model, temperature=temperature)
            sentences.teach(model, taught_share, steps=6, learning_rate=rate, seed=10 * seed + update)
            shares.append(float(sentences.share(model).mean()))
        histories[name].append(shares)

# %%
# alt: Share of sentences that go on with he after each of five updates, thin lines for single histories and a band for
#  the 95 percent interval, for updates from the world, from the model's own words, and from its own words spoken surer.
cf.plots.shares_over_updates(histories, taught=world)
plt.show()

# %%
ends = {name: np.array(shares)[:, -1] for name, shares in histories.items()}
lines = [
    f"At first the model goes on with *he* in {histories['the world'][0][0]:.0%} of the cases. After five updates:\n"
]
for name, shares in ends.items():
    away = mean_and_interval(100 * np.abs(shares - world))
    lost_a_word = int(((shares < 0.05) | (shares > 0.95)).sum())
    lines.append(
        f"- from {name}: **{mean_and_interval(100 * shares):.0f} %**, that is {away:.0f} points away from the world; "
        f"in {lost_a_word} of {len(shares)} histories one of the two words has all but died out (below 5 %)."
    )
Markdown("\n".join(lines))

# %% [markdown]
# **What it shows.** Nobody changed the world. Where the model speaks surer than it is, the commoner word wins.
#
# **What theory adds.** Exactly learned, its own words at temperature 1 push to neither side, and chance adds up (Taori
# & Hashimoto, 2023; Shumailov et al., 2024). So few histories, learned in six noisy steps, neither show nor refute it.
#
# **What it does not show.** How fast that goes in a large model with more data.

# %% [markdown]
# ### Try it: how sure is too sure?
#
# If each update learned exactly what was said, a share $p$ would become
#
# $$p' = \frac{p^{1/\tau}}{p^{1/\tau} + (1-p)^{1/\tau}}$$
#
# at temperature $\tau$. Move both sliders: the dotted line is predicted, the others measured. What happens at
# $\tau = 1$, above it, or at a first share of one half?

# %%
explorer = widgets.feedback(histories)
explorer

# %%
# alt: Predicted share after each of five updates for four temperatures, starting from 70 percent. Below temperature 1
#  the share rises towards 100 percent, at 1 it stays, above 1 it falls towards one half.
figure, ax = plt.subplots(figsize=(5, 3), layout="constrained")
for temperature, line, marker in ((0.3, "-", "o"), (0.5, "--", "s"), (1.0, ":", "^"), (2.0, "-.", "D")):
    shares = [world]
    for _ in range(5):
        shares.append(feedback.next_share(shares[-1], temperature))
    ax.plot([100 * share for share in shares], linestyle=line, marker=marker, label=f"temperature {temperature:g}")
ax.set_xlabel("updates")
ax.set_ylabel("predicted share (%)")
ax.set_ylim(-3, 103)
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
#
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
# | importance, Fisher information | how much each weight matters to what the model says |
# | rank correlation | 1 if two lists put the weights in the same order, 0 if their orders have nothing in common |
# | recall | share of questions whose whole answer is right |
# | perplexity | among how many equally likely tokens the model seems to choose; lower is better |
# | head | the small classifier on top of an encoder, one for each task |
# | probe | a fresh classifier, to ask what the encoder still contains |
# | replay | training on kept old examples along with the new |
# | seed | the number that all chance in a run comes from; another seed, another run |
# | interval | where the mean over many more seeds would lie, 19 times of 20 |

# %% [markdown]
# ## The three promises

# %%
verdicts = [shows_forgetting(dict(zip(("learned", "split", "tested after"), each, strict=True), tested="persona"))
            for each in designs.values()]  # fmt: skip
Markdown(
    f"""
- **One number.** In your run, learning the workplace cost {share_lost(before, after, record.chance[0]):.0%} of the
  persona.
- **Evidence.** Of {len(verdicts)} experiments, {sum(verdicts)} can show forgetting.
- **Four families.** Regularisation, rehearsal, parameter isolation, memory; and beside forgetting watch the bias: from
  its own words, spoken surer, the model went from {histories["its own words, surer"][0][0]:.0%} to
  {ends["its own words, surer"].mean():.0%}.
"""
)

# %% [markdown]
# ## Now change this
#
# 1. Teach the workplace first and the persona second. Is the same share lost?
# 2. Let half of each update come from the world: `0.5 * world + 0.5 * sentences.share(model)`. Is a half enough?
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

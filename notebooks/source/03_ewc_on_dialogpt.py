# %% [markdown]
# # 3 · Elastic weight consolidation on DialoGPT
#
# **A chat model learns who it is, then where it works. Does it still know who it is?**
#
# You will
#
# - build elastic weight consolidation (EWC) from three short pieces;
# - choose how strongly it protects, by trying strengths in turn (a *sweep*);
# - judge it fairly: against L2, replay and joint training.
#
# “DialoGPT” is a role. In `tiny` a GPT-2 with a million weights plays it, made for this course; in `laptop`
# SmolLM2-135M; in `full` DialoGPT-small itself.

# %% [markdown]
# All cells take at most 1 minute in `tiny` and 5 in `laptop`; in `full` the time was not measured.
#
# Previous: [2 · Fisher information](02_fisher_information.ipynb) · Next: [4 · EWC on GPT-2](04_ewc_on_gpt2.ipynb)
#
# {{colab badge}}

# %% tags=["colab"]
# {{colab install}}

# %%
import copy

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown
from tqdm.auto import tqdm

import cfhelpers as cf
from cfhelpers import checks, widgets
from cfhelpers.evaluation import answer_questions, coherence
from cfhelpers.tasks.encoding import encode_dialogue

run = cf.start(seed=0)

# %% [markdown]
# ## Predict
#
# A chat model is taught a **persona**: its favorite color, its cat, its home. Then, with no persona in sight, it is
# taught about its **workplace**. Double-click this cell and write down:
#
# 1. What share of the persona will it still know?
# 2. EWC pulls each weight back to where it was. What if it pulls very hard?
# 3. Would it do as well to pull all weights alike?

# %%
persona, workplace = run.tasks("persona", "workplace")
color, friend = (
    persona.test.filter(lambda row, fact=fact: row["fact"] == f"assistant.{fact}")
    for fact in ("favorite_color", "best_friend")
)
for task in (persona, workplace):
    print(f"{task.name}: {len(task.train)} questions to learn from, {len(task.test)} in other words to be tested on")
    for row in task.test.select(range(3)):
        print(f"   {row['question']:<50} {row['answer']}")
print("and among the persona's test questions:", *color["question"], "->", color["answer"][0])

# %% [markdown]
# ## The baseline: learn, then learn something else
#
# **Recall** here is the share of test questions whose whole answer is right, taking the most probable word each time.
# The test asks in words that were not used for this fact in training, so that a parrot fails.

# %%
plain = cf.methods.Naive()
taught = cf.learn_once(run, "dialogpt", ["persona", "workplace"], plain, stop_after=1)
naive = taught.then(plain)

# %%
# alt: Recall of the persona and of the workplace along the optimizer steps of naive training. The persona is learned
#  first; the vertical line marks where the workplace begins.
cf.plots.learning_curves(naive.record)
plt.show()

# %%
untouched, tokenizer = run.load("dialogpt").model, taught.tokenizer
asked = [color[0], friend[0], *persona.test.select(range(6, len(persona.test), len(persona.test) // 5))]
questions, right = ([row[column] for row in asked] for column in ("question", "answer"))
stages = {"untouched": untouched, "after the persona": taught.model, "after the workplace": naive.model}
answers = {name: answer_questions(model, tokenizer, questions) for name, model in stages.items()}
cf.tables.answers(questions, {"right": right, **answers})

# %% [markdown]
# ### What to notice
#
# - The persona's curve right of the line: nothing there trains it, nothing there forbids to break it.
# - The last model answers on: from the workplace, or as before anyone taught it.
# - Forgetting is not even. One question measures luck; below, several seeds are asked.

# %% [markdown]
# Nobody taught it another favorite color. But one workplace question, put there on purpose, is how to paint the office,
# and its answer has the same words, “I like …”

# %% [markdown]
# ## One sequence, and a loss on the answer
#
# A language model predicts the tokens of one sequence: the question *and then* the answer. The loss should count
# the answer only, with its end-of-sequence token, or it never stops. The model shifts the labels by itself.
#
# | symbol | in the code |
# |---|---|
# | tokens, `[B, T]` | `input_ids`: question, answer, end, padding |
# | real, `[B, T]` | `attention_mask`: 1, padding 0 |
# | targets, `[B, T]` | `labels`: the token itself, or −100 where the loss must not look |

# %% [markdown]
# ### Exercise 3.1 · a batch of dialogue ★☆☆ 10 minutes
#
# Given pairs (question ids, answer ids), build the three tensors. Append `end_id` to each answer. Pad on the right with
# `pad_id`, which may be the *same* token as `end_id`.
#
# <details><summary>Hint: my model never stops talking</summary>
# Labels were masked wherever the id equals the padding; the true end went with it. Mask by position.
# </details>
# <details><summary>Hint: my loss stays high, or is zero at once</summary>
# Did you shift the labels by hand? Do not.
# </details>


# %% exercise="3.1"
def dialogue_batch(pairs: list[tuple[list[int], list[int]]], end_id: int, pad_id: int) -> dict[str, torch.Tensor]:
    """Return input_ids, attention_mask and labels, each torch.long of shape [B, T], T the longest sequence."""
    ### BEGIN SOLUTION
    longest = max(len(question) + len(answer) + 1 for question, answer in pairs)
    rows: dict[str, list[list[int]]] = {"input_ids": [], "attention_mask": [], "labels": []}
    for question, answer in pairs:
        ids = [*question, *answer, end_id]
        padding = longest - len(ids)
        rows["input_ids"].append(ids + [pad_id] * padding)
        rows["attention_mask"].append([1] * len(ids) + [0] * padding)
        rows["labels"].append([-100] * len(question) + ids[len(question) :] + [-100] * padding)
    return {name: torch.tensor(values) for name, values in rows.items()}
    ### END SOLUTION


# %%
dialogue_batch = checks.ewc.dialogue_batch(dialogue_batch)

# %% graded="3.1" points=1
checks.require_solved("3.1")

# %% [markdown]
# <details><summary>Solution</summary>
#
# {{solution 3.1}}
#
# The common mistake pads question and answer separately to one length and hands them over as `input_ids` and `labels`.
# Then the answer's third word is what should follow the question's third word. The museum below trains that.
# </details>


# %%
def as_pairs(questions: list[str], answers: list[str]) -> tuple[list, int]:
    """Tokenise dialogues as this model's chat template writes them; return the pairs and the id that ends them."""
    pairs, end_id = [], 0
    for question, answer in zip(questions, answers, strict=True):
        ids, labels = encode_dialogue(tokenizer, question, answer)
        start = labels.count(-100)
        pairs.append((ids[:start], ids[start:-1]))
        end_id = ids[-1]
    return pairs, end_id


batch = dialogue_batch(*as_pairs(color["question"], color["answer"]), tokenizer.pad_token_id)
for ids, labels in zip(batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True):
    print("  sequence:", " ".join(repr(tokenizer.decode([token])) for token in ids))
    print("  targets: ", " ".join("·" if label == -100 else repr(tokenizer.decode([label])) for label in labels))

# %% [markdown]
# ## The importance of a weight
#
# Which weights does the persona hang on? Those whose change would change the probability of its answers. The diagonal
# of the Fisher information says how much:
#
# $$F_i = \frac{1}{N} \sum_{n=1}^{N} \left( \frac{\partial \log p(y_n \mid x_n)}{\partial \theta_i} \right)^2$$
#
# | symbol | in the code |
# |---|---|
# | $N$ | number of dialogues, not of batches |
# | $\log p(y_n \mid x_n)$ | minus the cross-entropy, *summed* over the targets of one dialogue |
# | $\theta_i$ | an entry of a parameter with `requires_grad` |
# | $F_i$ | one tensor per parameter, shaped like it |

# %% [markdown]
# **Square first, then average.** In the gradient of a whole batch, examples that disagree cancel and those that agree
# add up. Its square says how the batch moves the weights, not how much each example depends on them, and it changes
# with the batch size.
#
# With the labels of the data this is the **empirical** Fisher (van de Ven, 2025).

# %% [markdown]
# ### Exercise 3.2 · the Fisher diagonal ★★★ 25 minutes
#
# Return a dictionary from parameter name to tensor. The model may arrive in training mode. Leave no gradients behind.
# `model(**example).loss` is a *mean*.
# Move batches to the model's device.
#
# <details><summary>Hint: unsupported operand 'NoneType'</summary>
# A frozen parameter has none: leave it out.
# </details>
# <details><summary>Hint: my values are too small</summary>
# Square no batch's gradient. Go through its rows.
# </details>
# <details><summary>Hint: long answers count too little</summary>
# Multiply the mean by the number of labels that are not −100, without the first position.
# </details>


# %% exercise="3.2"
def fisher(model: torch.nn.Module, batches: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Return the empirical Fisher diagonal: one float32 (or float64) tensor per trainable parameter, by name."""
    ### BEGIN SOLUTION
    model.eval()
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    total = {name: torch.zeros_like(parameter) for name, parameter in trainable.items()}
    device, n_examples = next(iter(trainable.values())).device, 0
    for batch in batches:
        for row in range(len(batch["labels"])):
            example = {name: tensor[row : row + 1].to(device) for name, tensor in batch.items()}
            n_targets = (example["labels"][:, 1:] != -100).sum()
            model.zero_grad()
            (model(**example).loss * n_targets).backward()
            for name, parameter in trainable.items():
                total[name] += parameter.grad.square()
            n_examples += 1
    model.zero_grad()
    return {name: tensor / n_examples for name, tensor in total.items()}
    ### END SOLUTION


# %%
fisher = checks.ewc.fisher(fisher)

# %% graded="3.2" points=2
checks.require_solved("3.2")

# %% [markdown]
# <details><summary>Solution</summary>
#
# {{solution 3.2}}
#
# The common mistake calls `backward()` on a batch and squares. The ranking of the weights looks right, the size does
# not, and a λ tuned with one batch size is wrong with another.
# </details>

# %% [markdown]
# ### When the model is sure of itself
#
# After training, $p(y_n|x_n)$ is close to 1 and the gradient of its logarithm close to 0. So the empirical Fisher
# shrinks with success: the better the answers are known, the less they seem to need the weights.

# %% [markdown]
# One remedy draws each label from the model's own prediction, given the true tokens before it: the Fisher information
# of these predictions proper, estimated by **sampling**.


# %%
def drawn_labels(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the batch with every target drawn anew from what the model predicts there."""
    device = next(model.parameters()).device
    with torch.no_grad():
        inputs = {name: batch[name].to(device) for name in ("input_ids", "attention_mask")}
        logits = model(**inputs).logits[:, :-1]
    drawn = torch.distributions.Categorical(logits=logits.float().cpu()).sample()
    target = batch["labels"][:, 1:] != -100
    labels = torch.cat([batch["labels"][:, :1], torch.where(target, drawn, -100)], dim=1)
    return {**batch, "labels": labels}


# %%
few = list(taught.tasks[0].batches("train", taught.plan.batch_size))[:2]
taught.model.eval()
drawn = [drawn_labels(taught.model, batch) for batch in few for _ in range(2)]
for name, batches in {"of the data": few, "drawn": drawn}.items():
    importance = fisher(taught.model, batches)
    values = torch.cat([tensor.flatten() for tensor in importance.values()])
    print(f"labels {name:<12} mean importance {values.mean():.2e}, largest {values.max():.2e}")

# %% [markdown]
# ## A spring on every weight
#
# While the new task is learned, each weight is tied to where it was, $\theta^*_i$, with a spring as stiff as it is
# important (Kirkpatrick et al., 2017):
#
# $$\text{penalty}(\theta) = \frac{\lambda}{2} \sum_i F_i \left(\theta_i - \theta^*_i\right)^2$$
#
# | symbol | in the code |
# |---|---|
# | $\theta^*$, the anchor | a *copy* of the weights when the old task was learned |
# | $F$ | `importance` |
# | $\lambda$ | `strength`: how stiff all springs are |

# %% [markdown]
# ### Exercise 3.3 · the penalty ★★☆ 15 minutes
#
# Write the class. `value(model)` returns a tensor that `backward()` can be called on. A name in `importance` that the
# model does not have must be an error: a penalty on nothing looks like a penalty.
#
# <details><summary>Hint: my penalty is always zero</summary>
# The anchor <em>is</em> the live weights: <code>.detach()</code> shares their memory. Add <code>.clone()</code>.
# </details>
# <details><summary>Hint: its value is right, its gradient zero</summary>
# <code>clone()</code> alone keeps the anchor on the graph. Add <code>.detach()</code>.
# </details>


# %% exercise="3.3"
class ElasticPenalty:
    """(strength / 2) · Σ importance · (weight − anchor)², the anchor being the weights at construction."""

    def __init__(self, model: torch.nn.Module, importance: dict[str, torch.Tensor], strength: float) -> None:
        ### BEGIN SOLUTION
        weights = dict(model.named_parameters())
        self.anchor = {name: weights[name].detach().clone() for name in importance}
        self.importance, self.strength = importance, strength
        ### END SOLUTION

    def value(self, model: torch.nn.Module) -> torch.Tensor:
        """Return the penalty as a differentiable tensor of shape []."""
        ### BEGIN SOLUTION
        weights = dict(model.named_parameters())
        terms = [(F * (weights[name] - self.anchor[name]).square()).sum() for name, F in self.importance.items()]
        return self.strength / 2 * torch.stack(terms).sum()
        ### END SOLUTION


# %%
ElasticPenalty = checks.ewc.penalty(ElasticPenalty)

# %% graded="3.3" points=2
checks.require_solved("3.3")

# %% [markdown]
# <details><summary>Solution</summary>
#
# {{solution 3.3}}
#
# The common mistake stores `{name: parameter}`. The anchor then moves with the model and the penalty stays at zero,
# whatever λ: training is naive and is called EWC.
# </details>

# %% [markdown]
# ## The experiment: your EWC
#
# Two hooks make your pieces a method. After the persona it measures importance and remembers the weights; after each
# backward pass of the workplace it adds the penalty's gradient.


# %%
class MyEWC(cf.methods.Method):
    name = "your EWC"

    def __init__(self, strength: float, labels: str) -> None:
        self.strength, self.labels, self.penalties = strength, labels, []

    def after_task(self, model, task):
        batches = list(task.batches("train", naive.plan.batch_size))
        batches = batches[: naive.plan.steps // 4]  # a look at what a quarter of a training sees
        if self.labels == "sample":
            batches = [drawn_labels(model.eval(), batch) for batch in batches]
        self.penalties.append(ElasticPenalty(model, fisher(model, batches), self.strength))

    def after_backward(self, model, scale):
        for penalty in self.penalties:
            (scale * penalty.value(model)).backward()


# %% [markdown]
# The first λ comes from stored results, where it was chosen on validation questions, with other **seeds** (a seed is
# the number that all chance in a run comes from); where the run above was shorter than those, as in `laptop`, from a
# first guess (chapter 4). That the labels are drawn was decided beforehand, for the reason just seen.

# %%
stored = cf.results.load("03", profile=run.profile)
reported = [record for record in stored if record.extra["stage"] == "report"]
best = cf.results.chosen(reported)["ewc"].method
strength = best["strength"]
if naive.plan != cf.Plan(**reported[0].plan):  # another training, or model, has another scale
    trial = cf.EWC(1.0, variant=best["variant"], max_examples=16)
    to_learn = taught.tasks[1].batches("train", taught.plan.batch_size)
    trial.protect(taught.model, taught.tasks[0].batches("train"))
    strength = cf.suggest_strength(taught.model, trial, to_learn, learning_rate=taught.plan.learning_rate)
    del trial  # it keeps twice the model's bytes
print(f"λ = {strength:g}; labels: {best['variant']}")
mine = taught.then(MyEWC(strength, best["variant"]))

# %%
# alt: Two panels of recall along the optimizer steps, naive training left and your EWC right. The curves of the persona
#  differ after the vertical line where the workplace begins.
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharey=True)
for ax, learned in zip(axes, (naive, mine), strict=True):
    cf.plots.learning_curves(learned.record, ax=ax)
    ax.set_title(learned.record.method["name"], pad=20)
plt.show()

# %% [markdown]
# And the loss on the workplace, without the penalty. Its unit is the **nat**: minus the natural logarithm of the
# probability that the model gave the right token. 0 is certainty, 0.7 is one chance in two.

# %%
# alt: Training loss of naive training and of your EWC along the optimizer steps on a logarithmic axis, without the
#  penalty.
cf.plots.loss_curves([naive.record, mine.record])
plt.show()

# %%
models = {"untouched": untouched, "naive": naive.model, "your EWC": mine.model}
answers = {name: answer_questions(model, tokenizer, questions) for name, model in models.items()}
cf.tables.answers(questions, {"right": right, **answers})

# %%
both = {"naive": naive.record, "your EWC": mine.record}
cf.tables.comparison(both).iloc[:, :3]

# %% [markdown]
# ## Your λ
#
# At λ = 0 your EWC is naive training. What does a million do? Change the number, run the cell, and see: first what is
# kept, then what is learned.

# %%
my_strength = 1_000_000  # yours
both[f"your EWC, λ = {my_strength:g}"] = taught.then(MyEWC(my_strength, best["variant"])).record
cf.tables.comparison(both).iloc[:, :3]

# %% [markdown]
# Too weak protects nothing; too strong keeps the model from learning, or shakes it to pieces where each step overshoots
# the spring. Between the two lies a stretch that has to be found.

# %% [markdown]
# ## Is it still blue?
#
# A published notebook asks for the favorite color, once. Here two ways of asking meet several seeds, from the stored
# runs: the share of answers that were right, in percent. Behind ± stands half a **95 % interval**: where the mean over
# many more seeds would lie, 19 times of 20.

# %%
chosen = {r.method["name"]: r for r in reported if r.extra["chosen"] or r.method["name"] in ("naive", "joint")}
chosen = {name: chosen[name] for name in ("naive", "ewc", "l2sp", "replay", "joint") if name in chosen}
cf.tables.measured(chosen, "favorite color", "recall")

# %% [markdown]
# Read the first column first. Nobody gave the untouched model a favorite color: where it says “blue” all the same, as
# in `tiny`, it does so by habit. A model that forgot its persona may do so too, and nobody could tell. That is why one
# question is no test.

# %% [markdown]
# ## Talk to them
#
# A model gives every next word a probability. **Temperature** makes these more even (above 1) or more extreme (below
# 1); 0 always takes the most probable word. **Top-k** lets only the k most probable take part.

# %%
start = encode_dialogue(tokenizer, color["question"][0], color["answer"][0])[0][:-3]  # up to “I like”
with torch.no_grad():
    logits = untouched(input_ids=torch.tensor([start]).to(untouched.device)).logits[0, -1].float().cpu()
shares = {}
for temperature, top_k in ((0.5, 50), (1.0, 50), (2.0, 50), (2.0, 3)):
    words = logits.topk(top_k)
    probable = zip(words.indices, (words.values / temperature).softmax(0), strict=True)
    shares[f"temperature {temperature}, top-{top_k}"] = {tokenizer.decode([word]): f"{p:.1%}" for word, p in probable}
print("the untouched model, after:", tokenizer.decode(start))
pd.DataFrame(shares).fillna("0").head(6)

# %% [markdown]
# Which of the persona's answers would be a surprise? The untouched model, asked again and again, its words drawn:

# %%
for rows in (color, friend):
    said = answer_questions(untouched, tokenizer, list(rows["question"]) * 8, temperature=1.0)
    print(f"“{rows['answer'][0]}” by habit: {said.count(rows['answer'][0])} of {len(said)}")

# %% [markdown]
# So the box begins with the friend: who names the right one has learned it, not guessed. Ask about home, about work,
# about the weather; raise the temperature until one of them breaks. (The box needs a running kernel; the lines below it
# do not.)

# %%
chat = widgets.chat(models, tokenizer, question=friend["question"][0])
chat

# %%
pd.DataFrame(
    {
        f"temperature {each:g}": {
            name: answer_questions(model, tokenizer, friend["question"][:1], temperature=each, seed=1)[0]
            for name, model in models.items()
        }
        for each in (0.0, 1.0, 2.0, 4.0)
    }
)

# %% [markdown]
# ## How coherent are the replies?
#
# “Fragmented and incoherent”, people say of a fine-tuned chat model. That can be counted:
#
# - **repetition**: share of word pairs that a reply has said before;
# - **distinct-2**: share of different word pairs among all replies;
# - **perplexity under the untouched model**: how strange a reply is to the model that nobody has trained since.

# %%
general = run.tasks("knowledge")[0].test
some = naive.plan.batch_size // 2
many = [question for task in (persona.test, workplace.test, general) for question in task["question"][:some]]


def strangeness(replies: list[str]) -> float:
    """Return the perplexity of replies, given their questions, under the untouched model."""
    device = next(untouched.parameters()).device
    batch = dialogue_batch(*as_pairs(many, replies), tokenizer.pad_token_id)
    batch = {name: tensor.to(device) for name, tensor in batch.items()}
    n_targets = int((batch["labels"][:, 1:] != -100).sum())
    with torch.no_grad():
        return cf.metrics.perplexity(float(untouched(**batch).loss) * n_targets, n_targets)


# %%
counted = {}
for temperature in (0.7, 2.0):
    for name, model in models.items():
        replies = answer_questions(model, tokenizer, many, temperature=temperature)
        numbers = coherence.repetition(replies), coherence.distinct(replies), strangeness(replies)
        counted[f"{name}, temperature {temperature}"] = numbers
columns = ["repetition", "distinct-2", "perplexity under the untouched model"]
pd.DataFrame.from_dict(counted, orient="index", columns=columns).round(3)

# %% [markdown]
# **What it shows.** What temperature does to all three, and whether fine-tuning made replies strange. (Repetition is
# for long replies: in ones as short as these hardly a pair comes twice.)
#
# **What it does not show.** Whether the replies are *true*: these counts know no facts. A reply can be strange because
# it is broken, or because it is new. Read them beside recall, never alone.

# %% [markdown]
# ## How strong? A sweep of λ
#
# λ has no meaning without the scale of $F$ and of the loss, so a value copied from elsewhere is noise. Try a row of
# values, each about three times the last: a **sweep**. In `tiny` each was run with several seeds; here they are read
# from a file.

# %%
sweep = [r for r in stored if r.method["name"] == "ewc" and r.extra["stage"] == "report"]
if len(sweep) < 3:  # outside tiny only the chosen λ is run with the reported seeds
    sweep = [r for r in stored if r.method["name"] == "ewc" and r.extra["stage"] == "selection"]

# %%
# alt: Above, recall of the persona and of the workplace against the strength lambda on a logarithmic axis. Below, the
#  ratio of the penalty to the task loss and of the penalty's gradient to the task's gradient, both axes logarithmic.
figure, axes = plt.subplots(2, 1, figsize=(5.4, 5.6), layout="constrained", sharex=True)
cf.plots.strength_sweep(sweep, ax=axes[0])
cf.plots.penalty_ratios(sweep, ax=axes[1])
plt.show()

# %% [markdown]
# Bars are 95 % intervals. Above: where do the two lines cross, and where is your choice? Below: how hard the spring
# pulls beside the task, in the middle of training. Early or late it looks different:


# %%
def ratio_at(record, place: int) -> float:
    """Return the gradients' ratio at one of the logged steps on the workplace, averaged over the seeds."""
    key = "penalty_to_task_gradient"
    steps = [each for each in record.losses if each["training"] == record.tasks[-1] and key in each]
    return float(np.mean([[each[key] for each in steps if each["seed"] == seed][place] for seed in record.seeds]))


ratios = {
    f"λ = {record.method['strength']:g}": {
        "third logged step": ratio_at(record, 2),
        "median": np.median(cf.plots.penalty_ratio(record, "penalty_to_task_gradient")),
        "last": ratio_at(record, -1),
    }
    for record in sorted(sweep, key=lambda record: record.method["strength"])
}
pd.DataFrame.from_dict(ratios, orient="index").round(2)

# %% [markdown]
# The penalty's gradient, in units of the task's. Early, the ratio rises with λ. At the end the two forces come near a
# balance over most of the sweep. So read it early, and only to find the right power of ten for λ.
#
# The slider moves a line through the upper part of the figure. (Without a kernel, read it there.)

# %%
explorer = widgets.strengths(sweep)
explorer

# %% [markdown]
# ## Is it worth it? A fair comparison
#
# Equal steps, batch size and learning rate for all; equally many settings tried for each method (replay's in `laptop`
# is `tiny`'s), chosen on validation questions with seeds that are not shown.
#
# **L2** pulls all weights alike, without a Fisher. **Replay** keeps a few old dialogues and mixes them in. **Naive**
# and **joint** training are the bounds.

# %%
# alt: Recall of the persona, kept, against recall of the workplace, learned, with 95 percent intervals: naive and joint
#  training, and EWC, L2 and replay with the settings chosen on validation data.
cf.plots.retention_against_learning(list(chosen.values()))
plt.show()

# %%
cf.tables.comparison(chosen)

# %%
cf.tables.differences({name: chosen[name] for name in chosen if name != "joint"}, "l2sp")

# %% [markdown]
# Recall on test questions in percent; then each method minus L2, seed by seed, in points. A star marks a difference
# that these seeds can show. Read both columns: what is kept can be bought with what is not learned.

# %%
fall = {name: record.scores("persona", after="persona") - record.scores("persona") for name, record in chosen.items()}
saved = {name: 100 - 100 * fall[name].mean() / fall["naive"].mean() for name in ("ewc", "l2sp")}
reached = {name: chosen[name].scores("workplace").mean() / chosen["naive"].scores("workplace").mean() for name in saved}

# %%
Markdown(
    f"EWC removes **{saved['ewc']:.0f} %** of naive training's forgetting and reaches "
    f"**{100 * reached['ewc']:.0f} %** of its new-task score; L2 removes {saved['l2sp']:.0f} % and reaches "
    f"{100 * reached['l2sp']:.0f} %."
)

# %% [markdown]
# ### What else the model knew
#
# Nobody asked to keep the general knowledge of the untouched model, or its manners in dialogue (perplexity: lower is
# better). When were they lost?

# %%
cf.tables.measured(chosen, "knowledge", "recall")

# %%
cf.tables.measured(chosen, "dialogue", "perplexity")

# %% [markdown]
# Most of the knowledge goes with the persona already, before any method protects anything: every row has the same
# second column, for up to there all were trained alike.

# %% [markdown]
# **What it shows.** On these two tasks, how much each method keeps, learns, takes and stores.
#
# **What it does not show.** That the order is the same for long sequences or other data. Replay, where listed, kept 16
# of 128 dialogues; all would take far less room than EWC's tensors, but may not be kept everywhere.
#
# With another model the same experiment came out so:

# %%
other_profile = "laptop" if reported[0].profile == "tiny" else "tiny"
elsewhere = [r for r in cf.results.load("03", profile=other_profile) if r.extra["stage"] == "report"]
others = {r.method["name"]: r for r in elsewhere if r.method["name"] in ("naive", "joint")}
print(f"profile {elsewhere[0].profile}, {len(elsewhere[0].seeds)} seeds")
cf.tables.comparison(others | cf.results.chosen(elsewhere))

# %% [markdown]
# ## Museum
#
# Three things that published code does, with their numbers on these models.
#
# 1. **One task only.** After learning “blue”, ask for the color: “it still says blue”. Nothing came in between.
# 2. **An anchor that is alive.** The penalty is computed against the weights themselves.
# 3. **Unrelated `input_ids` and `labels`.** Question and answer, each padded to one length.

# %%
# The importance is the last from above, with drawn labels.
moved = float(ElasticPenalty(taught.model, importance, strength).value(naive.model).detach())
alive = float(ElasticPenalty(naive.model, importance, strength).value(naive.model).detach())
one_task, two_tasks = taught.record.scores("persona", after="persona")[0], naive.record.scores("persona")[0]
exhibits = {
    "one task only: recall": [
        f"{100 * one_task:.0f} %, “it remembers”",
        f"with a second task, naive: {100 * two_tasks:.0f} %",
    ],
    "an anchor that is alive: penalty": [f"{alive:.3g} nats", f"from the true anchor: {moved:.3g} nats"],
}
pd.DataFrame.from_dict(exhibits, orient="index", columns=["what is reported", "what a second look says"])


# %%
def one_length(pairs: list[tuple[list[int], list[int]]], end_id: int, pad_id: int) -> dict[str, torch.Tensor]:
    """Return the question as input_ids and the answer as labels, both padded: what not to do."""
    longest = max(len(part) for pair in pairs for part in pair)
    padded = [[part + [pad_id] * (longest - len(part)) for part in pair] for pair in pairs]
    ids, labels = (torch.tensor([pair[side] for pair in padded]) for side in (0, 1))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


# %%
pairs, end_id = as_pairs(persona.train["question"], persona.train["answer"])
for name, layout in {"one_length": one_length, "dialogue_batch": dialogue_batch}.items():
    student, size = copy.deepcopy(untouched).train(), naive.plan.batch_size
    optimizer, losses = torch.optim.AdamW(student.parameters(), lr=naive.plan.learning_rate), []
    for step in tqdm(range(naive.plan.steps // 2 + 1), desc=name):
        batch = layout(pairs[size * step % len(pairs) :][:size], end_id, tokenizer.pad_token_id)
        loss = student(**{name: tensor.to(student.device) for name, tensor in batch.items()}).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    replies = answer_questions(student, tokenizer, persona.test["question"][:16])
    correct = sum(reply == answer for reply, answer in zip(replies, persona.test["answer"][:16], strict=True))
    print(f"{name:>15}: loss {losses[0]:.2f} -> {losses[-1]:.2f}, {correct} of 16 right; it says “{replies[0][:60]}”")

# %% [markdown]
# Both losses fall; only one of them has to do with answering. A falling loss shows that *something* is being learned.
# What it is, only a test in its own words can tell.

# %% [markdown]
# ## Run a stored point again
#
# `cf.results.rerun` repeats any stored record with one of its seeds. The naive run at the top had seed 0 and in `tiny`
# the stored settings, so it should have come out the same there. In `laptop` it took fewer steps, to be quick.

# %%
# Repeat any other point; in `tiny` it takes as long as the training at the top did:
# cf.results.rerun(chosen["l2sp"], seed=1).matrix()
print(f"steps a task: {naive.plan.steps} above, {chosen['naive'].plan['steps']} in the stored runs")
if naive.plan == cf.Plan(**chosen["naive"].plan):
    difference = np.nanmax(np.abs(naive.record.matrix(seed=0) - chosen["naive"].matrix(seed=0)))
    print(f"largest difference between the run above and the stored one, seed 0: {100 * difference:.2f} points")

# %% [markdown]
# ## What you set out to do, and your predictions

# %%
kept = {name: record.scores("persona")[0] for name, record in both.items()}
Markdown(
    f"- **EWC from three pieces** (prediction 1): yours kept {100 * kept['your EWC']:.0f} % of the persona, naive "
    f"training {100 * kept['naive']:.0f} % (one seed, one noisy draw of labels).\n"
    f"- **The strength** (2): of {len(sweep)} values λ = {best['strength']:g} was best; see yours above.\n"
    f"- **Judged fairly** (3): of naive's forgetting EWC removes {saved['ewc']:.0f} %, L2 {saved['l2sp']:.0f} %."
)

# %% [markdown]
# ## Now change this
#
# After each change run its cell, then that of “Your λ” with a strength of yours.
#
# 1. Measure importance after the workplace: `fisher(naive.model, batches)` in `MyEWC`. What does the same λ do now?
# 2. Draw the labels with another seed: `torch.manual_seed(1)` at the top of `after_task`. How far does your EWC move?
# 3. Square the gradient of a batch, below the check, which would refuse it. Which λ works now?
#
# ```python
# def fisher(model, batches):
#     return cf.fisher_diagonal(model, batches, variant="batched", progress=False)
# ```

# %% [markdown]
# 4\. A second persona, as a third task. A task's name must be its own:
#
# ```python
# from dataclasses import replace
#
# second = replace(cf.start(seed=1).tasks("persona")[0], name="second persona")
# longer = cf.learn_once(run, "dialogpt", [persona, workplace, second], MyEWC(strength, "sample"))
# longer.record.matrix()
# ```

# %% [markdown]
# 5\. Protect general dialogue as well. Does it suffer less? A text has more tokens than an answer, so its Fisher is
# larger: which λ does it need?
#
# ```python
# from cfhelpers.tasks.encoding import encode_task
#
# talk = encode_task(run.tasks("dialogue", size=128)[0], tokenizer, max_length=64)
# wider = cf.EWC(strength, variant="sample")
# wider.protect(taught.model, talk.batches("train", 16))
# protected = taught.then(wider)
# for name, learned in {"naive": naive, "your EWC": mine, "wider": protected}.items():
#     print(name, cf.evaluation.evaluate_task(learned.model, talk))
# ```

# %% [markdown]
# ## References
#
# - Kirkpatrick et al. (2017). *Overcoming catastrophic forgetting in neural networks.* PNAS.
# - van de Ven (2025). *On the computation of the Fisher information in continual learning.*
# - Li et al. (2018). *Explicit inductive bias for transfer learning with convolutional networks.* ICML. (L2-SP)
# - Robins (1995). *Catastrophic forgetting, rehearsal and pseudorehearsal.*
# - Zhang et al. (2020). *DialoGPT: large-scale generative pre-training for conversational response generation.* ACL.
# - Li et al. (2016), distinct-n; Welleck et al. (2020), repetition.
#
# Previous: [2 · Fisher information](02_fisher_information.ipynb) · Next: [4 · EWC on GPT-2](04_ewc_on_gpt2.ipynb)

"""Answers to the exercises of chapter 1, each a whole function or class.

Beside a wrong one stands what the check has to say of it; nothing where it only has to be rejected.
"""

# Learners write as they like.
# ruff: noqa

import copy
import math
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Perceptron, RidgeClassifier, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from torch import nn

from tests.course.answers.whole import right, wrong


@wrong("1.1", "backward transfer is averaged over all T tasks")  # divides by T
def transfer_and_forgetting(results):
    T = len(results)
    bwt = sum(results[-1, j] - results[j, j] for j in range(T - 1)) / T
    f = sum(np.nanmax(results[:-1, j]) - results[-1, j] for j in range(T - 1)) / T
    return bwt, f


@wrong("1.1", "forgetting is counted from R[j")  # forgetting = -bwt (diagonal instead of max)
def transfer_and_forgetting(results):
    bwt = np.mean(results[-1, :-1] - np.diag(results)[:-1])
    return float(bwt), float(-bwt)


@wrong("1.1", "no task's forgetting can be negative here")  # maximum over the end too (all rows)
def transfer_and_forgetting(results):
    T = results.shape[0]
    bwt = (results[-1] - results.diagonal())[:-1].mean()
    f = (np.nanmax(results, axis=0) - results[-1])[:-1].mean()
    return bwt, f


@wrong("1.1", "backward transfer has the wrong sign")  # wrong sign of backward transfer
def transfer_and_forgetting(results):
    bwt = (results.diagonal() - results[-1])[:-1].mean()
    f = (np.nanmax(results[:-1, :-1], axis=0) - results[-1, :-1]).mean()
    return float(bwt), float(f)


@wrong("1.1", "forgetting is NaN")  # np.max gives NaN
def transfer_and_forgetting(results):
    bwt = (results[-1] - results.diagonal())[:-1].mean()
    f = (np.max(results[:-1, :-1], axis=0) - results[-1, :-1]).mean()
    return float(bwt), float(f)


@wrong("1.1", "the two numbers are in the wrong order")  # order swapped
def transfer_and_forgetting(results):
    bwt = (results[-1] - results.diagonal())[:-1].mean()
    f = (np.nanmax(results[:-1, :-1], axis=0) - results[-1, :-1]).mean()
    return float(f), float(bwt)


@wrong("1.1", "forgetting takes the largest score of each row")  # axis=1: max over a row
def transfer_and_forgetting(results):
    bwt = (results[-1] - results.diagonal())[:-1].mean()
    f = (np.nanmax(results[:-1, :-1], axis=1) - results[-1, :-1]).mean()
    return float(bwt), float(f)


@right("1.1")  # loop
def transfer_and_forgetting(results):
    T = len(results)
    b = 0.0
    f = 0.0
    for j in range(T - 1):
        column = [results[i, j] for i in range(T - 1) if not np.isnan(results[i, j])]
        b += results[T - 1, j] - results[j, j]
        f += max(column) - results[T - 1, j]
    return b / (T - 1), f / (T - 1)


@right("1.1")  # where nan -> -inf, tuple of numpy
def transfer_and_forgetting(results):
    end = results[-1, :-1]
    seen = np.where(np.isnan(results[:-1, :-1]), -np.inf, results[:-1, :-1])
    return np.mean(end - np.diagonal(results)[:-1]), np.mean(seen.max(0) - end)


@right("1.1")  # pandas
def transfer_and_forgetting(results):
    import pandas as pd

    frame = pd.DataFrame(results).iloc[:, :-1]
    last = frame.iloc[-1]
    best = frame.iloc[:-1].max()
    diagonal = pd.Series([frame.iloc[j, j] for j in frame.columns])
    return float((last - diagonal).mean()), float((best - last).mean())


def _acc_core(c, b, with_tasks=True):
    kw = {"task_ids": b["task_ids"]} if with_tasks else {}
    return c(b["input_ids"], b["attention_mask"], **kw).logits


@wrong("1.2", "the model was in training mode")  # no eval()
def old_task_accuracy(classifier, batches):
    right = total = 0
    with torch.no_grad():
        for b in batches:
            p = classifier(b["input_ids"], b["attention_mask"], task_ids=b["task_ids"]).logits.argmax(-1)
            right += (p == b["labels"]).sum().item()
            total += len(p)
    return right / total


@wrong("1.2", "the head of the newest task answered")  # no task_ids: newest head answers
def old_task_accuracy(classifier, batches):
    classifier.eval()
    right = total = 0
    with torch.no_grad():
        for b in batches:
            p = classifier(b["input_ids"], b["attention_mask"]).logits.argmax(-1)
            right += (p == b["labels"]).sum().item()
            total += len(p)
    return right / total


@wrong("1.2", "you averaged the accuracies of the batches")  # mean of batch means
def old_task_accuracy(classifier, batches):
    classifier.eval()
    accs = []
    with torch.no_grad():
        for b in batches:
            p = classifier(b["input_ids"], b["attention_mask"], task_ids=b["task_ids"]).logits.argmax(-1)
            accs.append((p == b["labels"]).float().mean().item())
    return sum(accs) / len(accs)


@wrong("1.2", "padding was read as text")  # no attention mask
def old_task_accuracy(classifier, batches):
    classifier.eval()
    right = total = 0
    with torch.no_grad():
        for b in batches:
            p = classifier(b["input_ids"], task_ids=b["task_ids"]).logits.argmax(-1)
            right += (p == b["labels"]).sum().item()
            total += len(p)
    return right / total


@wrong("1.2", "only the last batch was scored")  # only the last batch counted: reset inside the loop
def old_task_accuracy(classifier, batches):
    classifier.eval()
    with torch.no_grad():
        for b in batches:
            right, total = 0, 0
            p = classifier(b["input_ids"], b["attention_mask"], task_ids=b["task_ids"]).logits.argmax(-1)
            right += (p == b["labels"]).sum().item()
            total += len(p)
    return right / total


@wrong("1.2", "you divided by the number of batches")  # number of right ones divided by number of batches
def old_task_accuracy(classifier, batches):
    classifier.eval()
    right = 0
    with torch.no_grad():
        for b in batches:
            p = classifier(b["input_ids"], b["attention_mask"], task_ids=b["task_ids"]).logits.argmax(-1)
            right += (p == b["labels"]).sum().item()
    return right / len(batches)


@wrong("1.2", "argmax")  # argmax over the batch dimension
def old_task_accuracy(classifier, batches):
    classifier.eval()
    right = total = 0
    with torch.no_grad():
        for b in batches:
            p = classifier(b["input_ids"], b["attention_mask"], task_ids=b["task_ids"]).logits.argmax(0)
            right += sum(int(x == y) for x, y in zip(p, b["labels"]))
            total += len(b["labels"])
    return right / total


@wrong("1.2", "this is the share of wrong answers")  # returns the error rate
def old_task_accuracy(classifier, batches):
    classifier.eval()
    wrong = total = 0
    with torch.no_grad():
        for b in batches:
            p = classifier(b["input_ids"], b["attention_mask"], task_ids=b["task_ids"]).logits.argmax(-1)
            wrong += (p != b["labels"]).sum().item()
            total += len(p)
    return wrong / total


@right("1.2")  # restores mode, cat
def old_task_accuracy(classifier, batches):
    was = classifier.training
    classifier.eval()
    with torch.inference_mode():
        hits = [
            classifier(b["input_ids"], b["attention_mask"], task_ids=b["task_ids"]).logits.argmax(1).eq(b["labels"])
            for b in batches
        ]
    classifier.train(was)
    return torch.cat(hits).double().mean().item()


@right("1.2")  # without no_grad, sklearn-like, all keywords
def old_task_accuracy(classifier, batches):
    classifier = classifier.eval()
    predicted, true = [], []
    for batch in batches:
        out = classifier(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], task_ids=batch["task_ids"]
        )
        predicted += out.logits.softmax(-1).max(-1).indices.tolist()
        true += batch["labels"].tolist()
    return float(np.mean(np.array(predicted) == np.array(true)))


@right("1.2")  # evaluate style with labels passed to the model
def old_task_accuracy(classifier, batches):
    classifier.eval()
    n = k = 0
    for batch in batches:
        with torch.no_grad():
            logits = classifier(**batch).logits
        k += int((torch.argmax(logits, dim=-1) == batch["labels"]).sum())
        n += batch["labels"].numel()
    return k / n


def _feats(c, batches):
    c.eval()
    with torch.no_grad():
        X = torch.cat([c.features(b["input_ids"], b["attention_mask"]) for b in batches])
    return X, torch.cat([b["labels"] for b in batches])


def _lstsq(X, y, n=None):
    X = torch.cat([X, torch.ones(len(X), 1)], 1).double()
    Y = F.one_hot(y, n or int(y.max()) + 1).double()
    return torch.linalg.lstsq(X, Y, driver="gelsd").solution


def _score(W, X, y):
    X = torch.cat([X, torch.ones(len(X), 1)], 1).double()
    return ((X @ W).argmax(1) == y).double().mean().item()


@wrong("1.3", "the last training batch is left out, and perhaps others")  # fit on first batch only
def linear_probe(classifier, train_batches, test_batches):
    X, y = _feats(classifier, train_batches[:1])
    return _score(_lstsq(X, y), *_feats(classifier, test_batches))


@wrong("1.3", "the probe was scored on the texts it was fitted on")  # scored on training texts
def linear_probe(classifier, train_batches, test_batches):
    X, y = _feats(classifier, train_batches)
    return _score(_lstsq(X, y), X, y)


@wrong("1.3", "the probe was fitted on the test texts")  # fitted on test texts
def linear_probe(classifier, train_batches, test_batches):
    X, y = _feats(classifier, test_batches)
    return _score(_lstsq(X, y), X, y)


@wrong("1.3", "this is the accuracy of the old head")  # the old head, no probe at all
def linear_probe(classifier, train_batches, test_batches):
    classifier.eval()
    k = n = 0
    with torch.no_grad():
        for b in test_batches:
            p = classifier(b["input_ids"], b["attention_mask"], task_ids=b["task_ids"]).logits.argmax(-1)
            k += (p == b["labels"]).sum().item()
            n += len(p)
    return k / n


@wrong("1.3", "the model was in training mode")  # dropout on while features are computed
def linear_probe(classifier, train_batches, test_batches):
    classifier.train()
    with torch.no_grad():
        X = torch.cat([classifier.features(b["input_ids"], b["attention_mask"]) for b in train_batches])
        Z = torch.cat([classifier.features(b["input_ids"], b["attention_mask"]) for b in test_batches])
    W = _lstsq(X, torch.cat([b["labels"] for b in train_batches]))
    return _score(W, Z, torch.cat([b["labels"] for b in test_batches]))


@wrong("1.3", "the model was in training mode")  # encoder trained along with the probe
def linear_probe(classifier, train_batches, test_batches):
    classifier.train()
    D = classifier.features(train_batches[0]["input_ids"], train_batches[0]["attention_mask"]).shape[1]
    head = nn.Linear(D, 2)
    opt = torch.optim.Adam([*head.parameters(), *classifier.parameters()], lr=1e-3)
    for _ in range(5):
        for b in train_batches:
            loss = F.cross_entropy(head(classifier.features(b["input_ids"], b["attention_mask"])), b["labels"])
            opt.zero_grad()
            loss.backward()
            opt.step()
    classifier.eval()
    k = n = 0
    with torch.no_grad():
        for b in test_batches:
            p = head(classifier.features(b["input_ids"], b["attention_mask"])).argmax(-1)
            k += (p == b["labels"]).sum().item()
            n += len(p)
    return k / n


@wrong("1.3", "only the last test batch was scored")  # only the last test batch scored
def linear_probe(classifier, train_batches, test_batches):
    X, y = _feats(classifier, train_batches)
    W = _lstsq(X, y)
    for b in test_batches:
        acc = _score(W, *_feats(classifier, [b]))
    return acc


@wrong("1.3", "you averaged the accuracies of the test batches")  # mean of batch accuracies
def linear_probe(classifier, train_batches, test_batches):
    X, y = _feats(classifier, train_batches)
    W = _lstsq(X, y)
    return float(np.mean([_score(W, *_feats(classifier, [b])) for b in test_batches]))


@wrong(
    "1.3", "the accuracy stays the same with other training labels"
)  # probe never trained (loss.backward without step)
def linear_probe(classifier, train_batches, test_batches):
    X, y = _feats(classifier, train_batches)
    Z, z = _feats(classifier, test_batches)
    torch.manual_seed(0)
    head = nn.Linear(X.shape[1], int(y.max()) + 1)
    for _ in range(100):
        F.cross_entropy(head(X), y).backward()
    return (head(Z).argmax(1) == z).float().mean().item()


@right("1.3")  # ridge closed form
def linear_probe(classifier, train_batches, test_batches):
    X, y = _feats(classifier, train_batches)
    Z, z = _feats(classifier, test_batches)
    X = torch.cat([X, torch.ones(len(X), 1)], 1).double()
    Z = torch.cat([Z, torch.ones(len(Z), 1)], 1).double()
    W = torch.linalg.solve(X.T @ X + 1e-4 * torch.eye(X.shape[1], dtype=torch.double), X.T @ F.one_hot(y).double())
    return ((Z @ W).argmax(1) == z).double().mean().item()


@right("1.3")  # LBFGS logistic regression with standardisation
def linear_probe(classifier, train_batches, test_batches):
    X, y = _feats(classifier, train_batches)
    Z, z = _feats(classifier, test_batches)
    m, s = X.mean(0), X.std(0) + 1e-6
    X, Z = (X - m) / s, (Z - m) / s
    head = nn.Linear(X.shape[1], int(y.max()) + 1)
    opt = torch.optim.LBFGS(head.parameters(), max_iter=200)

    def closure():
        opt.zero_grad()
        l = F.cross_entropy(head(X), y) + 1e-3 * head.weight.square().sum()
        l.backward()
        return l

    opt.step(closure)
    with torch.no_grad():
        return (head(Z).argmax(1) == z).double().mean().item()


@right("1.3")  # lstsq as in the hint
def linear_probe(classifier, train_batches, test_batches):
    X, y = _feats(classifier, train_batches)
    return _score(_lstsq(X, y), *_feats(classifier, test_batches))


@wrong("1.2", "the probabilities of the right classes were averaged")  # mean probability of the right class
def old_task_accuracy(c, batches):
    c.eval()
    s = n = 0
    with torch.no_grad():
        for b in batches:
            p = c(b["input_ids"], b["attention_mask"], task_ids=b["task_ids"]).logits.softmax(-1)
            s += p[torch.arange(len(p)), b["labels"]].sum().item()
            n += len(p)
    return s / n


@wrong("1.2", "the answers were compared with the task_ids")  # compares with task_ids
def old_task_accuracy(c, batches):
    c.eval()
    s = n = 0
    with torch.no_grad():
        for b in batches:
            p = c(b["input_ids"], b["attention_mask"], task_ids=b["task_ids"]).logits.argmax(-1)
            s += (p == b["task_ids"]).sum().item()
            n += len(p)
    return s / n


@wrong(
    "1.2", "the batches' shares were added up and divided by the number of texts"
)  # share per batch summed, divided by the number of examples
def old_task_accuracy(c, batches):
    c.eval()
    s = n = 0
    with torch.no_grad():
        for b in batches:
            p = c(b["input_ids"], b["attention_mask"], task_ids=b["task_ids"]).logits.argmax(-1)
            s += (p == b["labels"]).float().mean().item()
            n += len(p)
    return s / n


@wrong("1.2", "you divided by the number of tokens")  # counts tokens below the line
def old_task_accuracy(c, batches):
    c.eval()
    s = n = 0
    with torch.no_grad():
        for b in batches:
            p = c(b["input_ids"], b["attention_mask"], task_ids=b["task_ids"]).logits.argmax(-1)
            s += (p == b["labels"]).sum().item()
            n += b["input_ids"].numel()
    return s / n


def _with_ones(c, batches):
    c.eval()
    with torch.no_grad():
        X = torch.cat([c.features(b["input_ids"], b["attention_mask"]) for b in batches])
    return torch.cat([X, torch.ones(len(X), 1)], 1).double(), torch.cat([b["labels"] for b in batches])


def _solved(X, y):
    return torch.linalg.lstsq(X, F.one_hot(y, 2).double(), driver="gelsd").solution


@wrong("1.3", "")  # weights of batch fits averaged
def linear_probe(c, train, test):
    W = torch.stack([_solved(*_with_ones(c, [b])) for b in train]).mean(0)
    Z, z = _with_ones(c, test)
    return ((Z @ W).argmax(1) == z).double().mean().item()


@wrong("1.3", "not one text is right, in training either")  # argmax over the texts
def linear_probe(c, train, test):
    W = _solved(*_with_ones(c, train))
    Z, z = _with_ones(c, test)
    return sum(int(a == b) for a, b in zip((Z @ W).argmax(0), z)) / len(z)


@wrong("1.3", "the probe was scored on training and test texts together")  # accuracy over train and test together
def linear_probe(c, train, test):
    W = _solved(*_with_ones(c, train))
    Z, z = (
        _with_ones(c, [*train, *test])
        if train[0]["input_ids"].shape[1] == test[0]["input_ids"].shape[1]
        else (None, None)
    )
    if Z is None:
        A, a = _with_ones(c, train)
        B, b = _with_ones(c, test)
        Z, z = torch.cat([A, B]), torch.cat([a, b])
    return ((Z @ W).argmax(1) == z).double().mean().item()


@wrong("1.3", "")  # the old head's logits as features, fitted on one output only
def linear_probe(c, train, test):
    c.eval()

    def f(bs):
        with torch.no_grad():
            return torch.cat([c(b["input_ids"], b["attention_mask"], task_ids=b["task_ids"]).logits for b in bs])[
                :, :1
            ].double(), torch.cat([b["labels"] for b in bs])

    X, y = f(train)
    Z, z = f(test)
    W = _solved(X, y)
    return ((Z @ W).argmax(1) == z).double().mean().item()


@wrong("1.3", "this is the share of texts that the probe says 1 of")  # share of ones predicted
def linear_probe(c, train, test):
    W = _solved(*_with_ones(c, train))
    Z, z = _with_ones(c, test)
    return (Z @ W).argmax(1).double().mean().item()


@wrong("1.1", "no task's forgetting can be negative here")  # cut off at zero, task by task
def transfer_and_forgetting(results):
    best = np.nanmax(results[:-1, :-1], axis=0)
    return np.mean(results[-1, :-1] - np.diag(results)[:-1]), np.mean(np.maximum(best - results[-1, :-1], 0))


@right("1.1")  # both in one array
def transfer_and_forgetting(results):
    best = np.nanmax(results[:-1, :-1], axis=0)
    return np.stack([results[-1, :-1] - np.diag(results)[:-1], best - results[-1, :-1]]).mean(axis=1)


def _encoded(c, batches):
    c.eval()
    with torch.no_grad():
        X = torch.cat([c.features(b["input_ids"], b["attention_mask"]) for b in batches])
    return X, torch.cat([b["labels"] for b in batches])


def _with_sklearn(make):
    def linear_probe(c, train, test):
        (X, y), (Z, z) = _encoded(c, train), _encoded(c, test)
        return make().fit(X.numpy(), y.numpy()).score(Z.numpy(), z.numpy())

    return linear_probe


def _in_torch(make, optimizer, rate, steps):
    def linear_probe(c, train, test):
        (X, y), (Z, z) = _encoded(c, train), _encoded(c, test)
        layers = make(X.shape[1])
        stepper = optimizer(layers.parameters(), lr=rate)
        for _ in range(steps):
            stepper.zero_grad()
            F.cross_entropy(layers(X), y).backward()
            stepper.step()
        return (layers(Z).argmax(1) == z).float().mean().item()

    return linear_probe


def _linear(width):
    return nn.Linear(width, 2)


def _hidden(width):
    return nn.Sequential(nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, 2))


for _make in (
    lambda: LogisticRegression(),
    lambda: LogisticRegression(C=0.1),
    lambda: LogisticRegression(C=1e4, max_iter=5000),
    lambda: RidgeClassifier(alpha=10.0),
    lambda: RidgeClassifier(alpha=1e-3),
    lambda: LinearDiscriminantAnalysis(),
    lambda: Perceptron(),
    lambda: SGDClassifier(random_state=1),
    lambda: make_pipeline(StandardScaler(), LinearSVC()),
):
    right("1.3")(_with_sklearn(_make))
right("1.3")(_in_torch(_linear, torch.optim.Adam, 1e-3, 300))
right("1.3")(_in_torch(_linear, torch.optim.SGD, 0.1, 100))
right("1.3")(_in_torch(_linear, torch.optim.SGD, 0.01, 500))
right("1.3")(_in_torch(_linear, torch.optim.AdamW, 1e-2, 300))
for _make in (
    lambda: LogisticRegression(C=0.01),
    lambda: LogisticRegression(C=0.001),
    lambda: LogisticRegression(C=1e4, max_iter=2),
    lambda: RidgeClassifier(alpha=100.0),
    lambda: RidgeClassifier(alpha=1000.0),
    lambda: LinearSVC(C=1e-4),
    lambda: NearestCentroid(),
):
    wrong("1.3", "the probe gets 67% right of texts that a straight line separates")(_with_sklearn(_make))
wrong("1.3", "the probe gets 67% right of texts that a straight line separates")(
    _in_torch(_linear, partial(torch.optim.Adam, weight_decay=1.0), 1e-2, 1000)
)


def _least_squares_on(change):
    def linear_probe(c, train, test):
        (X, y), (Z, z) = _encoded(c, train), _encoded(c, test)
        return _score(_lstsq(change(X), y), change(Z), z)

    return linear_probe


right("1.3")(_least_squares_on(lambda a: a))
right("1.3")(_least_squares_on(lambda a: 3 * a - 1))
for _change in (lambda a: torch.cat([a, a * a], 1), torch.relu, torch.tanh):
    wrong("1.3", "the probe is not linear: it gets 100% right of texts of which no straight line gets more than 67")(
        _least_squares_on(_change)
    )
wrong("1.3", "the probe is not linear")(_least_squares_on(lambda a: a.softmax(-1)))
wrong("1.3", "in the case “55 and 37 texts”: accuracy on the very texts")(_least_squares_on(torch.abs))
wrong("1.3", "the probe is not linear")(_with_sklearn(lambda: GaussianNB()))
for _make in (
    lambda: KNeighborsClassifier(),
    lambda: SVC(),
    lambda: DecisionTreeClassifier(random_state=0),
    lambda: MLPClassifier(max_iter=300, random_state=0),
):
    wrong("1.3", "the probe is not linear")(_with_sklearn(_make))
wrong("1.3", "the probe is not linear")(_in_torch(_hidden, torch.optim.Adam, 1e-2, 200))
wrong("1.3", "in the case “55 and 37 texts”: accuracy on the very texts that it was fitted on")(
    _in_torch(_linear, torch.optim.SGD, 1e-5, 2)
)


@wrong("1.3", "your code changed requires_grad of parameters")  # the encoder stays frozen
def linear_probe(c, train, test):
    for p in c.parameters():
        p.requires_grad = False
    return _with_sklearn(LogisticRegression)(c, train, test)


@wrong("1.3", "your code left gradients in the model")  # features with their graph, but the encoder takes no step
def linear_probe(c, train, test):
    c.eval()
    X = torch.cat([c.features(b["input_ids"], b["attention_mask"]) for b in train])
    layer = _linear(X.shape[1])
    stepper = torch.optim.Adam(layer.parameters(), lr=0.1)
    for _ in range(100):
        stepper.zero_grad()
        F.cross_entropy(layer(X), torch.cat([b["labels"] for b in train])).backward(retain_graph=True)
        stepper.step()
    Z, z = _encoded(c, test)
    return (layer(Z).argmax(1) == z).float().mean().item()


@wrong("1.3", "all texts get one answer, the most frequent training label")
def linear_probe(c, train, test):
    label = torch.cat([b["labels"] for b in train]).mode().values
    return (torch.cat([b["labels"] for b in test]) == label).float().mean().item()


@wrong("1.3", "")  # each split standardised by its own numbers
def linear_probe(c, train, test):
    (X, y), (Z, z) = _encoded(c, train), _encoded(c, test)
    probe = LogisticRegression().fit(StandardScaler().fit_transform(X.numpy()), y.numpy())
    return probe.score(StandardScaler().fit_transform(Z.numpy()), z.numpy())


@wrong("1.2", "one head answers for every task: its number is written in the code")  # the task's number written in
def old_task_accuracy(c, batches):
    c.eval()
    right = total = 0
    with torch.no_grad():
        for b in batches:
            p = c(b["input_ids"], b["attention_mask"], task_ids=torch.ones_like(b["task_ids"])).logits.argmax(-1)
            right += (p == b["labels"]).sum().item()
            total += len(p)
    return right / total


@wrong("1.2", "len(batch) is the number of entries of a dictionary")  # the length of the dictionary
def old_task_accuracy(c, batches):
    c.eval()
    right = total = 0
    with torch.no_grad():
        for b in batches:
            p = c(b["input_ids"], b["attention_mask"], task_ids=b["task_ids"]).logits.argmax(-1)
            right += (p == b["labels"]).sum().item()
            total += len(b)
    return right / total

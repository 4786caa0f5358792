"""Claims that were registered before a run: what a file may say, and what a run says of them."""

import ast
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.special import stdtrit
from tests.findings.constructed import ERROR, flow

import infoplane
from infoplane.config import flat_settings
from infoplane.errors import UserError
from infoplane.findings import find, rules
from infoplane.findings.registered import CONFIRMED, OPEN, REFUTED, judge_registered
from infoplane.findings.registration import Claims, Registration, read_claims
from infoplane.findings.rules import judging_files, rules_hash
from infoplane.recipes import RECIPES
from infoplane.records.tables import Performance, performance_table

CLAIM_FILES = Path(__file__).parents[2] / "docs" / "results" / "claims"
SETTINGS = {"training": {"epochs": 10}, "data": {"name": "digits"}}
LABEL = {
    "name": "label in fc2",
    "quantity": "I(T;Y)",
    "estimator": "decoded",
    "of": {"training": "adversarial", "examples": "adversarial", "layer": "fc2"},
    "less": {"training": "normal", "examples": "adversarial", "layer": "fc2"},
}


def performances(accuracy=lambda **_: 0.5, seeds=(0, 1, 2)):
    return performance_table(
        Performance(
            study="information-flow", seed=seed, training=training, epoch=10, split="test", examples=examples, n=1000,
            loss=1.0, gradient_evaluations=0, seconds=0.0, accuracy=accuracy(training=training, examples=examples),
        )
        for seed in seeds
        for training in ("normal", "adversarial")
        for examples in ("original", "adversarial")
    )  # fmt: skip


def registration(*claims, seeds=(0, 1, 2), settings=None, study=(), rules=None):
    written = {"title": "t", "seeds": list(seeds), "settings": settings or {}, "claims": claims, "study": study}
    known = rules or rules_hash()
    return Registration(claims=Claims.model_validate(written), rules=known, infoplane="0", registered_at="now")


def judged(registered, measurements, performance=None, settings=SETTINGS):
    performance = performances() if performance is None else performance
    return judge_registered(registered, settings, measurements, performance, find(measurements, performance))


def curves(difference, spread=0.01, seeds=(0, 1, 2), **more):
    """Adversarial training ends `difference` above normal training; seeds differ by `spread`."""

    def rule(*, training, seed, epoch, **_):
        return 0.1 * epoch + (training == "adversarial") * (difference + spread * (seed - 1))

    return flow(rule, seeds=seeds, **more)


@pytest.mark.parametrize(("difference", "outcome"), [(0.8, CONFIRMED), (0.2, REFUTED), (0.5, OPEN)])
def test_the_interval_decides_on_which_side_of_the_threshold_it_lies(difference, outcome):
    found = judged(registration({**LABEL, "above": 0.5}), curves(difference)).outcomes[0]
    assert found.outcome == outcome
    assert found.value == pytest.approx(difference)
    # Two-sided t with 2 degrees of freedom over seeds, and 19 over groups of two independent records.
    half = np.hypot(4.303 * 0.01 / np.sqrt(3), 2.093 * np.sqrt(2 / 3) * ERROR)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.15)  # strays of the three seeds are not orthogonal
    other = judged(registration({**LABEL, "below": 0.5}), curves(difference)).outcomes[0]
    assert other.outcome == {CONFIRMED: REFUTED, REFUTED: CONFIRMED, OPEN: OPEN}[outcome]


def test_seeds_that_differ_leave_it_undecided():
    assert judged(registration({**LABEL, "above": 0.5}), curves(0.8, spread=0.5)).outcomes[0].outcome == OPEN


def test_one_number_is_compared_with_the_threshold_itself():
    claim = {key: value for key, value in LABEL.items() if key != "less"}
    found = judged(registration({**claim, "above": 1.5}), curves(0.8)).outcomes[0]
    assert (found.outcome, found.value) == (CONFIRMED, pytest.approx(1.8))
    at = judged(registration({**claim, "above": 1.5, "epoch": 3}), curves(0.8)).outcomes[0]
    assert (at.outcome, at.value) == (REFUTED, pytest.approx(1.1))


@pytest.mark.parametrize(
    ("measurements", "reason"),
    [
        (curves(0.8, seeds=(0, 1)), "not recorded for seed 2: adversarial training, adversarial examples in fc2"),
        (curves(0.8, epochs=range(8)), "unfinished: seed 0 is at epoch 7 of 10"),
        (curves(0.8, layers=("conv1",)), "not recorded for seed 0"),
    ],
)
def test_what_is_missing_leaves_it_undecided_and_is_named(measurements, reason):
    found = judged(registration({**LABEL, "above": 0.5}), measurements).outcomes[0]
    assert found.outcome == OPEN
    assert found.reason.startswith(reason)
    assert found.value is None


def test_noise_is_chosen_as_registered():
    claim = {**LABEL, "quantity": "I(X;T)", "estimator": "kde-bd", "above": 0.5}
    assert judged(registration(claim), curves(0.8)).outcomes[0].outcome == CONFIRMED  # at relative noise
    assert judged(registration({**claim, "noise": "fixed"}), curves(0.8)).outcomes[0].reason.startswith("not recorded")


def test_accuracy_has_the_interval_of_its_examples():
    places = {
        "of": {"training": "adversarial", "examples": "adversarial"},
        "less": {"training": "normal", "examples": "adversarial"},
    }
    claim = {"name": "a", "quantity": "accuracy", "above": 0.1, **places}
    table = performances(lambda *, training, **_: 0.8 if training == "adversarial" else 0.3)
    found = judged(registration(claim, seeds=(0,)), curves(0.8), table).outcomes[0]
    assert (found.outcome, found.value) == (CONFIRMED, pytest.approx(0.5))
    exact = 1.96 * np.sqrt(0.8 * 0.2 / 1000 + 0.3 * 0.7 / 1000)
    assert (found.high - found.low) / 2 == pytest.approx(exact, rel=0.01)
    assert "one seed" in found.reason


def test_one_accuracy_has_the_interval_of_the_reports():
    claim = {"name": "a", "quantity": "accuracy", "above": 0.9, "of": {"training": "normal"}}
    found = judged(registration(claim, seeds=(0,)), curves(0.8), performances(lambda **_: 1.0)).outcomes[0]
    # Wilson (1927): 1000 of 1000 right gives 1 / (1 + z^2 / n) to 1.
    assert (found.low, found.high) == (pytest.approx(1 / (1 + 1.959964**2 / 1000)), 1.0)
    assert found.outcome == CONFIRMED


def test_a_network_at_chance_confirms_nothing():
    claim = {"name": "a", "quantity": "accuracy", "below": 0.9, "of": {"training": "normal"}}
    dead = performances().with_columns(at_chance=pl.col("seed") == 1)
    found = judged(registration(claim), curves(0.8), dead).outcomes[0]
    assert (found.outcome, found.reason) == (OPEN, "normal training with seed 1 ended at chance")


def test_where_a_training_may_stop_early_the_epoch_must_be_registered():
    settings = {"training": {"epochs": 20, "patience": 2, "validation_fraction": 0.1}}
    found = judged(registration({**LABEL, "above": 0.5}), curves(0.8), settings=settings).outcomes[0]
    assert (found.outcome, found.value) == (OPEN, None)
    assert "register an `epoch`" in found.reason
    at = judged(registration({**LABEL, "above": 0.5, "epoch": 10}), curves(0.8), settings=settings).outcomes[0]
    assert at.outcome == CONFIRMED


def test_names_that_the_run_does_not_have_are_deviations():
    claim = {**LABEL, "above": 0.5, "of": {"training": "nromal", "examples": "adverserial", "layer": "fc2"}}
    settings = {**SETTINGS, "methods": ["normal", "adversarial"], "attacks": []}
    assert judged(registration(claim), curves(0.8), settings=settings).deviations == (
        "label in fc2 is about nromal training, which the run does not have",
        "label in fc2 is about adverserial examples, which the run does not have",
    )


def test_the_default_noise_is_part_of_the_claim():
    claim = {**LABEL, "quantity": "I(X;T)", "estimator": "kde-bd", "above": 0.5}
    assert registration(claim).claims.claims[0].model_dump()["noise"] == "relative"


def test_a_claim_of_the_study_is_confirmed_by_the_expected_verdict():
    def rule(*, training, epoch, **_):
        return 1.0 + (0.2 * epoch if training == "normal" else 0.05 * epoch)

    measurements = flow(rule, seeds=(0, 1, 2))
    table = performances()
    verdict = {one.claim: one.verdict for one in find(measurements, table).claims}["3a"]
    assert verdict != "undecided"
    other = {"supported": "contradicted", "contradicted": "supported"}[verdict]
    for expect, outcome in ((verdict, CONFIRMED), (other, REFUTED)):
        found = judged(registration(study=[{"claim": "3a", "expect": expect}]), measurements).outcomes[0]
        assert found.outcome == outcome
    assert judged(registration(study=[{"claim": "6", "expect": expect}]), measurements).outcomes[0].outcome == OPEN


def test_every_deviation_is_named():
    settings = {"training": {"epochs": 12}, "data.name": "digits", "method.x": 1}
    registered = registration({**LABEL, "above": 0.5}, settings=settings, seeds=(0, 3), rules="0" * 64)
    lines = judged(registered, curves(0.8)).deviations
    assert lines == (
        "training.epochs was registered as 12, and is 10",
        "method.x was registered as 1, and the run has no such setting",
        "registered seeds that are not there: 3",
        "seeds that were not registered: 1, 2",
        "the code that judges claims is not that of the registration",
    )
    kept = registration({**LABEL, "above": 0.5}, settings={"training.epochs": 10})
    assert judged(kept, curves(0.8)).deviations == ()


def test_the_hash_is_of_the_claims_and_not_of_the_date():
    one, same = registration({**LABEL, "above": 0.5}), registration({**LABEL, "above": 0.5})
    assert one.sha256 == same.model_copy(update={"registered_at": "later"}).sha256
    for changed in (
        registration({**LABEL, "above": 0.51}),
        registration({**LABEL, "above": 0.5}, seeds=(0, 1)),
        registration({**LABEL, "above": 0.5}, settings={"training.epochs": 1}),
        registration({**LABEL, "above": 0.5}, rules="0" * 64),
    ):
        assert changed.sha256 != one.sha256


GOOD = 'title = "t"\nseeds = [0]\n'
CLAIM = '[[claims]]\nname = "a"\nquantity = "I(T;Y)"\nestimator = "decoded"\nof = {training = "normal", layer = "fc"}\n'


ACCURACY = '[[claims]]\nname = "a"\nquantity = "accuracy"\nof = {training = "normal"}\n'
STUDY = '[[study]]\nclaim = "2"\nexpect = "supported"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = ", "is not valid TOML"),
        (GOOD, "claims nothing: add a table [[study]] or [[claims]]"),
        (GOOD + CLAIM, "claims 1 needs either `above` or `below`, a number"),
        (GOOD + CLAIM + "above = 1\nbelow = 2\n", "needs either `above` or `below`"),
        (GOOD + CLAIM + "above = 1\n" + CLAIM + "above = 2\n", "has two claims with the name 'a'"),
        (GOOD + CLAIM.replace(', layer = "fc"', "") + "above = 1\n", "I(T;Y) needs a `layer` in `of` and `less`"),
        (GOOD + CLAIM.replace("decoded", "guess") + "above = 1\n", "claims 1, estimator must be"),
        (GOOD + CLAIM.replace("T;Y", "X;T") + "above = 1\n", "decoders estimate I(T;Y) alone, not I(X;T)"),
        (GOOD + CLAIM + 'above = 1\nnoise = "fixed"\n', "decoded adds no noise"),
        (GOOD.replace("[0]", "[0, 0]") + CLAIM + "above = 1\n", "names a seed twice"),
        (GOOD.replace("[0]", "[]") + CLAIM + "above = 1\n", "seeds must have at least 1 item"),
        (GOOD.replace("[0]", "[-1]") + CLAIM + "above = 1\n", "seeds 1 must be greater than or equal to 0"),
        (GOOD + CLAIM + "above = inf\n", "claims 1, above must be a finite number"),
        (GOOD + ACCURACY + "above = 50\n", "its threshold lies between -1 and 1, got 50"),
        (GOOD + "settings.training.epcohs = 3\n" + CLAIM + "above = 1\n", "unknown setting 'training.epcohs', did"),
        (GOOD + "settings.training.epochs = inf\n" + CLAIM + "above = 1\n", "training.epochs must be finite, got inf"),
        (
            GOOD + '[settings]\n"training.epochs" = 1\ntraining = {epochs = 2}\n' + CLAIM + "above = 1\n",
            "names the setting 'training.epochs' twice",
        ),
        (GOOD + STUDY + STUDY.replace("supported", "contradicted"), "has two expectations for claim 2 of the study"),
        (GOOD + CLAIM + "abvoe = 1\n", "claims 1, abvoe is not a setting of this version"),
        (GOOD + '[[study]]\nclaim = "7"\nexpect = "supported"\n', "study 1, claim must be one of 1, 2, 3a, 3b, 4"),
        (GOOD + "settings.training.epochs = 'ten'\n" + CLAIM + "above = 1\n", "training.epochs must be"),
        (GOOD + "settings.attack.epsilon = '8/0'\n" + CLAIM + "above = 1\n", "attack.epsilon"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(text, message, tmp_path):
    path = tmp_path / "claims.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(message)):
        read_claims(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_claims(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ('"attack.epsilon" = "45/255"', {"attack.epsilon": 45 / 255}),
        ('"training.epochs" = "10"', {"training.epochs": 10}),
        ('"training.milestones" = [3, 4]', {"training.milestones": [3, 4]}),
        ('"methods" = ["normal"]', {"methods": ["normal"]}),
        ('"method.trades_beta" = 6', {"method.trades_beta": 6}),
    ],
)
def test_settings_are_kept_as_a_run_has_them(typed, kept, tmp_path):
    (tmp_path / "claims.toml").write_text(f"{GOOD}[settings]\n{typed}\n{CLAIM}above = 1\n")
    assert read_claims(tmp_path / "claims.toml").settings == kept


def test_a_float_with_fewer_digits_is_another_setting_and_one_with_all_digits_is_not():
    for written, lines in ((0.17647058823529413 * (1 + 1e-12), 0), (0.1765, 1)):
        registered = registration({**LABEL, "above": 0.5}, settings={"attack.epsilon": written})
        settings = {**SETTINGS, "attack": {"epsilon": 45 / 255}}
        assert len(judged(registered, curves(0.8), settings=settings).deviations) == lines


def test_an_undecided_claim_says_why_and_how_many_seeds_would_decide():
    found = judged(registration({**LABEL, "above": 0.5}), curves(0.8, spread=0.2)).outcomes[0]
    assert found.outcome == OPEN
    needed = int(re.match(r"the interval spans the threshold, (\d+) such seeds would decide; 95 %", found.reason)[1])
    # t interval of the spread over that many seeds is narrower than the distance of .3, and over one seed fewer is not
    for seeds, decides in ((needed, True), (needed - 1, False)):
        half = stdtrit(seeds - 1, 0.975) * 0.2 / np.sqrt(seeds)
        assert (half < 0.3) == decides


def test_the_hash_covers_all_code_that_decides(monkeypatch):
    """Whatever `find` and `judge_registered` import decides, but checks of input, words, and what estimates."""
    package, found = Path(infoplane.__file__).parent, set()

    def follow(module):
        path = package.parent / Path(*module.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if path in found or not path.is_file():
            return
        found.add(path)
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("infoplane."):
                for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)):
                    follow(name)

    for module in ("infoplane.findings", "infoplane.findings.registered"):
        follow(module)
    others = {one for one in found if one.relative_to(package).parts[0] in ("estimators", "distortions")}
    named = ("checks.py", "config.py", "errors.py", "text.py", "records/__init__.py", "records/short_repr.py")
    others |= {package / name for name in named}
    assert set(judging_files()) == found - others
    before = rules_hash()
    monkeypatch.setattr(rules, "judging_files", lambda: judging_files()[:-1])
    assert rules_hash() != before


@pytest.mark.parametrize("path", sorted(CLAIM_FILES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_claims_of_our_own_runs_are_taken(path):
    """And ask for nothing that the recipe does not have: else the run would deviate."""
    claims, recipe = read_claims(path), RECIPES[path.stem.rpartition("-epochs")[0].rpartition("-")[0]].config
    usual = flat_settings(recipe.model_dump(mode="json"))
    changed = {name for name, value in claims.settings.items() if usual[name] != value}
    assert changed <= {"training.epochs", "training.schedule", "measurement.examples"}


def test_the_file_on_the_page_is_taken(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "register.md").read_text("utf-8")
    (tmp_path / "claims.toml").write_text(page.split("```text\n")[1].split("```")[0], encoding="utf-8")
    claims = read_claims(tmp_path / "claims.toml")
    assert [one.quantity for one in claims.claims] == ["I(T;Y)", "accuracy"]


@pytest.mark.parametrize(("estimator", "outcome"), [("kde-kl", OPEN), ("decoded", CONFIRMED)])
def test_a_value_that_permuted_labels_give_too_confirms_nothing_unless_decoders_read_it(estimator, outcome):
    """Decoders that find nothing read about 0, which is a result; the bias of other estimators is none."""
    claim = {**LABEL, "estimator": estimator, "above": 0.5} | ({"noise": "fixed"} if estimator == "kde-kl" else {})
    table = curves(0.8, estimators=(estimator,)).with_columns(null_quantile95_nats=pl.lit(1.2))  # of 1 and 1.8 nats
    found = judged(registration(claim), table).outcomes[0]
    assert found.outcome == outcome
    assert ("permuted labels give as much for seed 0: " in found.reason) == (outcome == OPEN)


@pytest.mark.parametrize(("estimator", "outcome"), [("kde-kl", OPEN), ("decoded", CONFIRMED)])
def test_a_saturated_value_confirms_nothing_and_held_out_decoders_are_never_saturated(estimator, outcome):
    claim = {**LABEL, "estimator": estimator, "above": 0.5} | ({"noise": "fixed"} if estimator == "kde-kl" else {})
    table = curves(0.8, estimators=(estimator,)).with_columns(saturated=pl.lit(value=True))
    found = judged(registration(claim), table).outcomes[0]
    assert found.outcome == outcome
    assert found.reason.startswith("saturated for seed 0: ") == (outcome == OPEN)


def test_a_bias_that_permuted_labels_show_does_not_keep_a_value_from_being_below_a_threshold():
    claim = {
        "name": "n",
        "quantity": "I(T;Y)",
        "estimator": "kde-kl",
        "noise": "fixed",
        "of": LABEL["of"],
        "below": 3.0,
    }
    table = curves(0.8, estimators=("kde-kl",)).with_columns(null_quantile95_nats=pl.lit(2.5))
    assert judged(registration(claim), table).outcomes[0].outcome == CONFIRMED
    assert judged(registration({**claim, "less": LABEL["less"]}), table).outcomes[0].outcome == OPEN


def test_a_value_above_the_ceiling_of_the_lower_bound_confirms_nothing():
    """At a noise share of 1/4 the lower bound cannot exceed 1 nat, whatever the layer; the records do not mark it."""
    claim = {**LABEL, "quantity": "I(X;T)", "estimator": "kde-bd", "noise": "relative", "above": 0.5}
    table = curves(0.8).with_columns(noise_ratio=pl.col("features") / 4)
    assert judged(registration(claim), table).outcomes[0].reason.startswith("saturated for seed 0: ")


def test_caveats_stand_beside_the_value():
    table = curves(0.8, seeds=(0,)).with_columns(undersampled=pl.lit(value=True))
    found = judged(registration({**LABEL, "above": 0.5}, seeds=(0,)), table)
    (one,) = found.outcomes
    assert [caveat.partition(":")[0] for caveat in one.caveats] == ["one seed", "undersampled"]
    assert (one.unit, one.outcome) == ("nats", CONFIRMED)

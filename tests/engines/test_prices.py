"""Price files: what a run's tokens or hours cost by them, and what is no price file."""

import json
from pathlib import Path

import pytest

from engines.account import account_of, amount, told
from engines.prices import MAX_BYTES, price_of
from flawscribe.errors import UserError
from flawscribe.records import Usage

PRICES = """
# An example: invented prices.
currency: EUR
models:
  m: {input: 2, output: 10.0, cached_input: 0.5, batch_discount: 0.5}
  org/own: {gpu_hour: 3.6, images_per_second: 2}
"""
DIRECT = Usage(
    prompt_tokens=1_000_000, completion_tokens=100_000, cached_tokens=400_000, calls=900, repairs=3
)
BATCH = DIRECT.model_copy(update={"batch": True})


def prices(folder: Path, text: str, name: str = "p.yaml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_tokens_cached_ones_and_batches_have_their_own_price(tmp_path: Path) -> None:
    price = price_of(prices(tmp_path, PRICES), "m")
    direct = 0.6 * 2 + 0.4 * 0.5 + 0.1 * 10
    assert price.cost(account_of([DIRECT])) == pytest.approx(direct)
    assert price.cost(account_of([DIRECT, BATCH])) == pytest.approx(1.5 * direct)


def test_hours_of_a_gpu_are_paid_by_the_row(tmp_path: Path) -> None:
    account = account_of([DIRECT] * 7200)
    assert price_of(prices(tmp_path, PRICES), "org/own").cost(account) == pytest.approx(3.6)


def test_the_line(tmp_path: Path) -> None:
    account = account_of([DIRECT, Usage(calls=1)])
    price = price_of(prices(tmp_path, PRICES), "m")
    line = "901 calls (3 of them second attempts), 1,000,000 tokens in (400,000 cached) and 100,000 out"
    assert told(account.facts()) == line
    assert told(account.facts() | price.facts(account)) == f"{line}: 2.40 EUR by p.yaml"
    assert told(account_of([Usage(calls=1)]).facts()) == "1 call, no tokens counted"


@pytest.mark.parametrize(
    ("money", "shown"),
    [(0, "0.00"), (1234.5, "1,234.50"), (0.5, "0.50"), (0.0123, "0.012"), (3e-7, "0.00000030")],
)
def test_small_amounts_are_not_nothing(money: float, shown: str) -> None:
    assert amount(money) == shown


def test_json_is_read_too(tmp_path: Path) -> None:
    text = json.dumps({"currency": "USD", "models": {"m": {"input": 1e-3, "output": 0}}})
    assert price_of(prices(tmp_path, text, "p.json"), "m").currency == "USD"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must hold currency and models"),
        ("[1]", "must hold currency and models"),
        ("currency: USD\nmodels: 5", "p.yaml: models: "),
        ("currency: USD\nmodels: {m: 5}", "p.yaml: models.m: "),
        ("currency: USD", "models: Field required"),
        ("currency: USD\nmodels: {m: {input: 1}}", "models.m.output: Field required"),
        ("currency: USD\nmodels: {m: {input: -1, output: 1}}", "models.m.input: "),
        ("currency: USD\nmodels: {m: {input: .nan, output: 1}}", "models.m.input: "),
        ("currency: USD\nmodels: {m: {input: .inf, output: 1}}", "models.m.input: "),
        ("currency: USD\nmodels: {m: {input: '1', output: 1}}", "models.m.input: "),
        ("currency: USD\nmodels: {m: {input: true, output: 1}}", "models.m.input: "),
        ("currency: USD\nmodels: {m: {input: 1, output: 1, per: 1}}", "models.m.per: "),
        ("currency: USD\nmodels: {m: {gpu_hour: 1, images_per_second: 0}}", "images_per_second: "),
        ("currency: USD\nmodels: {n: {input: 1, output: 1}}", "no price for 'm'. Did you mean|Known: n"),
        ("a: &a [x]\nb: [*a, *a]", "aliases"),
        ("currency: !!python/object/apply:os.system [id]", "neither YAML nor JSON"),
        ("a: {", "neither YAML nor JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("currency: 'U\\tD'\n" + " " * MAX_BYTES, "too large"),
    ],
)
def test_what_is_no_price_file_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as raised:
        price_of(prices(tmp_path, text), "m")
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "no.yaml", tmp_path, Path("/dev/zero")):
        with pytest.raises(UserError, match="cannot read"):
            price_of(path, "m")

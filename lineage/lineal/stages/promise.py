"""Promises: what a call of a stage returns while its pipeline is traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from lineal.stages.annotations import describe
from lineal.stages.conditions import AllOf, AnyOf, Comparison, Condition, Not, Operator, Truth
from lineal.stages.errors import PipelineError
from lineal.stages.tracing import Tracer, current
from lineal.stages.wiring import Constant, Result

_USE_A_STAGE = "Its value is there only when the pipeline runs: pass it to a stage, and use it inside."
_USE_WHEN = "To run stages on a condition, write `with when(...):` or `with unless(...):` around them."
_CONTAINERS = (list, tuple, dict, set, frozenset)


def _refuse(what: str, hint: str = _USE_A_STAGE) -> Callable[..., NoReturn]:
    """A method that says what a promise has not, and what to write instead."""

    def refuse(self: Promise, *_: object, **__: object) -> NoReturn:
        self.check_live()
        raise PipelineError(f"{self!r} {what}", hint)

    return refuse


class Promise:
    """The result of a stage that has not run yet; types as what the stage will return.

    It can be passed to stages, indexed with a constant, compared, and returned. The comparison is a
    condition for `when`.
    """

    __slots__ = ("_annotation", "_result", "_tracer")

    def __init__(self, tracer: Tracer, result: Result, annotation: Any = Any) -> None:
        self._tracer = tracer
        self._result = result
        self._annotation = annotation

    def check_live(self) -> None:
        """Raise PipelineError unless the pipeline that it is of is being traced."""
        require_current(self._tracer, repr(self))

    def __getitem__(self, key: object) -> Promise:
        self.check_live()
        if isinstance(key, bool) or not isinstance(key, str | int):
            kind = "another promise" if isinstance(key, Promise) else f"a {type(key).__name__}"
            raise PipelineError(
                f"{self!r} is indexed with {kind}",
                f"A promise takes a constant name or number in the brackets. {_USE_A_STAGE}",
            )
        result = self._result
        return Promise(self._tracer, Result(result.node, result.output, (*result.path, key)))

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__") and name.endswith("__"):  # protocols are probed for: copy, numpy, inspect
            raise AttributeError(name)
        self.check_live()
        kind = "" if self._annotation is Any else f" of {describe(self._annotation)}"
        raise PipelineError(
            f"{self!r} has no attribute {name}: it is a promise{kind}, not the value",
            f"Use .{name} inside a stage that takes it.",
        )

    def __lt__(self, other: object) -> PromisedCondition:
        return self._compared("<", other)

    def __le__(self, other: object) -> PromisedCondition:
        return self._compared("<=", other)

    def __gt__(self, other: object) -> PromisedCondition:
        return self._compared(">", other)

    def __ge__(self, other: object) -> PromisedCondition:
        return self._compared(">=", other)

    def __eq__(self, other: object) -> PromisedCondition:  # type: ignore[override]
        return self._compared("==", other)

    def __ne__(self, other: object) -> PromisedCondition:  # type: ignore[override]
        return self._compared("!=", other)

    __hash__ = object.__hash__  # by identity, since == makes a condition

    def __and__(self, other: object) -> PromisedCondition:
        return promised_condition(self, "&") & other

    __rand__ = __and__

    def __or__(self, other: object) -> PromisedCondition:
        return promised_condition(self, "|") | other

    __ror__ = __or__

    def __invert__(self) -> PromisedCondition:
        return ~promised_condition(self, "~")

    def _compared(self, op: Operator, other: object) -> PromisedCondition:
        self.check_live()
        if isinstance(other, Promise):
            other.check_live()
            return PromisedCondition(self._tracer, Comparison(op, self._result, other._result))
        if isinstance(other, (PromisedCondition, *_CONTAINERS)):
            raise PipelineError(
                f"{self!r} is compared with a {type(other).__name__}",
                "A condition compares a promise with one constant, or with another promise.",
            )
        return PromisedCondition(self._tracer, Comparison(op, self._result, Constant(other)))

    __bool__ = _refuse("has no truth yet, so that `if`, `and`, `or`, `not` cannot decide on it", _USE_WHEN)
    __iter__ = _refuse("cannot be iterated over: its length is not known yet")
    __len__ = _refuse("has no length yet")
    __contains__ = _refuse("cannot be searched with `in` yet")
    __str__ = _refuse("has no text yet")
    __format__ = _refuse("has no text yet")
    __int__ = _refuse("is no number yet")
    __float__ = _refuse("is no number yet")
    __index__ = _refuse("is no number yet")
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refuse("cannot be reckoned with yet")
    __truediv__ = __rtruediv__ = __neg__ = __matmul__ = _refuse("cannot be reckoned with yet")
    __call__ = _refuse("cannot be called")
    __setitem__ = _refuse("cannot be changed: results are immutable")
    __array__ = _refuse("cannot become an array yet")
    __array_ufunc__ = None  # numpy's scalars leave `0.5 <= promise` to the promise
    __reduce__ = _refuse("cannot be pickled or copied")

    def __repr__(self) -> str:
        return f"<promise of {self._result}>"


class PromisedCondition:
    """A condition on promises, for `when` and `unless`; combines with ``&``, ``|`` and ``~``."""

    __slots__ = ("_tracer", "condition")

    def __init__(self, tracer: Tracer, condition: Condition) -> None:
        self._tracer = tracer
        self.condition = condition

    def check_live(self) -> None:
        """Raise PipelineError unless the pipeline that it is of is being traced."""
        require_current(self._tracer, repr(self))

    def __and__(self, other: object) -> PromisedCondition:
        right = promised_condition(other, "&").condition
        parts = tuple(part for one in (self.condition, right) for part in _parts(one, AllOf))
        return PromisedCondition(self._tracer, AllOf(parts))

    __rand__ = __and__

    def __or__(self, other: object) -> PromisedCondition:
        right = promised_condition(other, "|").condition
        parts = tuple(part for one in (self.condition, right) for part in _parts(one, AnyOf))
        return PromisedCondition(self._tracer, AnyOf(parts))

    __ror__ = __or__

    def __invert__(self) -> PromisedCondition:
        return PromisedCondition(self._tracer, negated(self.condition))

    def __bool__(self) -> NoReturn:
        self.check_live()
        raise PipelineError(
            f"{self!r} is not decided yet, so that `if`, `and`, `or`, `not` and a < b < c cannot decide on it",
            f"{_USE_WHEN} Combine conditions with & | ~, each in parentheses.",
        )

    def __repr__(self) -> str:
        return f"<condition {self.condition}>"


def promised_condition(value: object, where: str) -> PromisedCondition:
    """``value`` as a condition: itself, the truth of a promise, or a constant True or False."""
    tracer = current()
    if isinstance(value, Promise):
        value.check_live()
        return PromisedCondition(value._tracer, Truth(value._result))
    if isinstance(value, PromisedCondition):
        value.check_live()
        return value
    if isinstance(value, bool) and tracer is not None:
        return PromisedCondition(tracer, Truth(Constant(value)))
    raise PipelineError(
        f"{where} is given a {type(value).__name__}, which is no condition",
        "A condition is True or False, a promise, or a comparison of promises: metrics['auc'] >= 0.65.",
    )


def negated(condition: Condition) -> Condition:
    """The opposite condition, without piling up negations."""
    return condition.condition if isinstance(condition, Not) else Not(condition)


def require_current(tracer: Tracer, what: str) -> None:
    """Raise PipelineError unless ``tracer`` is at work in this context."""
    now = current()
    if now is tracer:
        return
    used = "after its tracing has ended" if now is None else f"in pipeline {now.pipeline}"
    raise PipelineError(
        f"{what} belongs to a tracing of pipeline {tracer.pipeline}, and is used {used}",
        "Promises live as long as the call that traces them. Return what another pipeline needs, "
        "or read results from the Run that `.run(...)` returns.",
    )


def _parts(condition: Condition, kind: type[AllOf | AnyOf]) -> tuple[Condition, ...]:
    """What a condition contributes to an AllOf or AnyOf: flat, however many are combined in a loop."""
    return condition.conditions if isinstance(condition, kind) else (condition,)

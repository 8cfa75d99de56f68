"""Functions of one array that layers and losses share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nnfs_xp._typing import Array, Namespace


def softmax(xp: Namespace, logits: Array) -> Array:
    """Softmax over the last axis, shifted by the row's maximum so that `exp` cannot overflow."""
    exponentials: Array = xp.exp(logits - xp.max(logits, axis=-1, keepdims=True))
    exponentials /= xp.sum(exponentials, axis=-1, keepdims=True)
    return exponentials


def log_softmax(xp: Namespace, logits: Array) -> Array:
    """Logarithm of the softmax over the last axis, taking the logarithm of no small number."""
    shifted: Array = logits - xp.max(logits, axis=-1, keepdims=True)
    shifted -= xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))
    return shifted


def sign(xp: Namespace, inputs: Array) -> Array:
    """1, 0 or -1 by the sign of each input, NaN where that is.

    Not the standard's, which waits for the device where array-api-compat adds the NaN to CuPy's.
    """
    signs: Array = xp.where(inputs > 0, 1.0, xp.where(inputs < 0, -1.0, inputs))
    return signs


def sigmoid(xp: Namespace, inputs: Array) -> Array:
    """1 / (1 + exp(-inputs)), exact at both tails: it takes only the exponential of -|inputs|."""
    small = xp.exp(-xp.abs(inputs))
    numerator = xp.where(inputs >= 0, xp.ones_like(small), small)
    numerator /= small + 1
    output: Array = numerator
    return output


def tanh_of_softplus(xp: Namespace, x: Array, e: Array) -> tuple[Array, Array]:
    """The numerator and the denominator of tanh(log(1 + exp(x))), given e = exp(-abs(x)).

    That is ((1 + exp(x))**2 - 1) / ((1 + exp(x))**2 + 1), where x >= 0 divided by exp(2 * x)
    above and below, so that nothing overflows or cancels.
    """
    above = x >= 0
    numerator: Array = xp.where(above, 1 + 2 * e, e * (2 + e))
    return numerator, numerator + xp.where(above, 2 * e * e, 2.0)


_ERF_COEFFICIENTS = {
    "float32": (
        3.95,
        (1.12837917, 1.51747597, 0.914267743, 0.280581457, 0.0372352033),
        (1.0, 0.780638502, 0.278740218, 0.0372518947),
    ),
    "float64": (
        5.95,
        (
            1.1283791670955126,
            2.52372350149276,
            2.6709291838338434,
            1.715177799022019,
            0.7207946552368132,
            0.20000392104703774,
            0.03499400389891257,
            0.0033702257773837027,
            0.00011834440089288596,
        ),
        (
            1.0,
            1.672402135873041,
            1.3324176458835078,
            0.6329306027300098,
            0.18887457811183017,
            0.034434733808311274,
            0.0033677851044001954,
            0.00011836541919604334,
        ),
    ),
}
"""For `erf`, by precision: the input from which it is 1, and P and Q, lowest power first."""


def erf(xp: Namespace, inputs: Array) -> Array:
    """The error function, 2 / sqrt(pi) times the integral of exp(-s**2) from 0 to x.

    Within 3 eps of the true value everywhere, relative to it; narrower types than float32
    use float32's coefficients.

    Notes
    -----
    erf(x) = ±(1 - exp(-t * h(t))) with t = abs(x) and h(t) = -log(erfc(t)) / t, which is smooth
    and varies little, so that one quotient of polynomials P(t) / Q(t) stands for it on the whole
    range, and `expm1` keeps small results exact. The coefficients were fitted to h in 40-digit
    arithmetic (mpmath) at 70 Chebyshev points, by linear least squares of P - h * Q with the
    weights of Lawson's iteration, which levels the largest errors: they are below 2.2e-10 of
    erf in float32's, 1.8e-18 in float64's. All are positive, so nothing cancels.
    """
    precision = "float64" if inputs.dtype == xp.float64 else "float32"
    largest, numerator, denominator = _ERF_COEFFICIENTS[precision]
    t = xp.minimum(xp.abs(inputs), largest)
    exponent = _polynomial(t, numerator)
    exponent /= _polynomial(t, denominator)
    exponent *= -t
    output: Array = xp.copysign(xp.expm1(exponent), inputs)
    return output


def _polynomial(t: Array, coefficients: tuple[float, ...]) -> Array:
    """The polynomial with these coefficients, lowest power first, by Horner's rule."""
    value = t * coefficients[-1]
    for coefficient in coefficients[-2:0:-1]:
        value += coefficient
        value *= t
    value += coefficients[0]
    return value


def is_narrow(xp: Namespace, x: Array) -> bool:
    """Whether sums, and longer formulas, of these numbers lose too much in their own type."""
    return x.dtype not in (xp.float32, xp.float64)

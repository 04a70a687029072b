/**
 * How surprising a value is under the normal distribution: the decimal logarithm of its upper tail.
 *
 * The tail of a suspicion level of 8 is 1e-8, and one of 400 is below the smallest floating-point number: so it is computed from its own
 * expansion, as a logarithm, and not as one minus the rest. Near the middle the expansion of the distribution function in odd powers
 * (Marsaglia, "Evaluating the Normal Distribution", J. Stat. Soft. 2004, section 3), beyond it the continued fraction of Mills' ratio
 * (Abramowitz and Stegun, 26.2.14).
 *
 * Pure.
 */
const LOG_SQRT_TAU = Math.log(2 * Math.PI) / 2
/** From here on the continued fraction converges within FRACTION_TERMS, and the difference of the series from one loses no digits. */
const TAIL_FROM = 2
const FRACTION_TERMS = 120
/** Below minus this the tail is one, to the last digit. */
const CERTAIN_BELOW = -9
/** No level asked for lies beyond this many standard deviations. */
const DEVIATIONS_MAX = 100
const BISECTIONS = 60

/** -log10 of the probability that a standard normal variable exceeds `deviations`. Finite, and grows with its argument. */
export function surprise (deviations: number): number {
  if (deviations < CERTAIN_BELOW) return 0
  if (deviations < 0) return -Math.log1p(-Math.exp(-surprise(-deviations) * Math.LN10)) / Math.LN10
  const logDensity = -deviations * deviations / 2 - LOG_SQRT_TAU
  if (deviations < TAIL_FROM) return -Math.log10(0.5 - Math.exp(logDensity) * oddPowers(deviations))
  return (Math.log(fraction(deviations)) - logDensity) / Math.LN10
}

/** The deviations at which `surprise` reaches `level`; level 0 < level <= 1000. */
export function deviationsOf (level: number): number {
  let [low, high] = [CERTAIN_BELOW, DEVIATIONS_MAX]
  for (let step = 0; step < BISECTIONS; step++) {
    const middle = (low + high) / 2
    if (surprise(middle) < level) low = middle
    else high = middle
  }
  return high
}

/** x + x^3/3 + x^5/(3*5) + x^7/(3*5*7) + ... */
function oddPowers (x: number): number {
  let sum = 0
  let term = x
  for (let odd = 3; sum + term !== sum; odd += 2) {
    sum += term
    term *= x * x / odd
  }
  return sum
}

/** x + 1/(x + 2/(x + 3/(x + ...))): the density divided by the tail. */
function fraction (x: number): number {
  let value = x
  for (let term = FRACTION_TERMS; term >= 1; term--) value = x + term / value
  return value
}

"""The head of every generated C file: lanes as GCC vectors (Clang's too), and functions of them.

A vector holds W neighbouring lanes. Functions of float vectors are polynomials after a range reduction, accurate to a
few units in the last place (constants: Moshier's Cephes, single precision); those of doubles call libm lane by lane.
"""

HEAD = """#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) && WIDEST >= 64
#define BYTES 64
#elif defined(__AVX__) && WIDEST >= 32
#define BYTES 32
#else
#define BYTES 16
#endif
#define W ((int)(BYTES / sizeof(real)))
#define INLINE static inline __attribute__((always_inline))
typedef real V __attribute__((vector_size(BYTES)));
typedef whole I __attribute__((vector_size(BYTES)));

INLINE V all(real x) { return (V){0} + x; }
INLINE V where(I m, V a, V b) { return (V)((m & (I)a) | (~m & (I)b)); }
INLINE V maximum(V a, V b) { return where((a > b) | (a != a), a, b); }
INLINE V minimum(V a, V b) { return where((a < b) | (a != a), a, b); }
INLINE V sign(V x) { return where(x > 0, all(1), all(0)) - where(x < 0, all(1), all(0)); }

#ifdef __clang__
INLINE V pick(V v, I at) { V to; for (int i = 0; i < W; ++i) to[i] = v[at[i]]; return to; }
#else
INLINE V pick(V v, I at) { return __builtin_shuffle(v, at); }
#endif

/* n of the W lanes from every step-th number on; the others are zero */
INLINE V load(const real *p, int64_t step, int n) {
  V v = {0};
  if (step == 1 && n == W) memcpy(&v, p, sizeof v);
  else for (int i = 0; i < n; ++i) v[i] = p[i * step];
  return v;
}
/* the k-th of few numbers that each of n lanes has side by side; memory is read in whole vectors */
INLINE V part(const real *p, const int few, const int k, int n) {
  if (n < W) return load(p + k, few, n);
  const I at = (I){LANES} * few + k;
  V v = {0};
#pragma GCC unroll 8
  for (int c = 0; c < few; ++c) v = where(at / W == c, pick(load(p + c * W, 1, W), at % W), v);
  return v;
}
INLINE I truth(const uint8_t *p, int64_t step, int n) {
  I v = {0};
  for (int i = 0; i < n; ++i) v[i] = -(whole)(p[i * step] != 0);
  return v;
}
INLINE void store(real *p, int64_t step, V v, int n) {
  if (step == 1 && n == W) memcpy(p, &v, sizeof v);
  else for (int i = 0; i < n; ++i) p[i * step] = v[i];
}
/* all the few numbers that each of n lanes has side by side */
INLINE void store_parts(real *p, const int few, const V *from, int n) {
  if (n < W) {
    for (int k = 0; k < few; ++k) store(p + k, few, from[k], n);
    return;
  }
#pragma GCC unroll 8
  for (int c = 0; c < few; ++c) {
    const I at = (I){LANES} + c * W;
    V v = {0};
#pragma GCC unroll 8
    for (int k = 0; k < few; ++k) v = where(at % few == k, pick(from[k], at / few), v);
    store(p + c * W, 1, v, W);
  }
}
#define EACH(name, expression) \\
  INLINE V name(V v) { for (int i = 0; i < W; ++i) { const real x = v[i]; v[i] = expression; } return v; }
"""

FLOAT = """
EACH(root, __builtin_sqrtf(x))
EACH(sine, sinf(x))
EACH(cosine, cosf(x))
EACH(arctangent, atanf(x))
EACH(error, erff(x))
INLINE V magnitude(V x) { return (V)((I)x & 0x7fffffff); }
/* e^x = 2^k e^r; the power in two factors, so that neither overflows before the product does */
INLINE V power(V x) {
  const V magic = all(12582912.f);
  V y = where(x < -104.f, all(-104.f), x);
  y = where(y > 89.f, all(89.f), y);
  V k = y * 1.44269504088896341f + magic;
  const I n = (I)k - (I)magic, half = n >> 1;
  k -= magic;
  const V r = (y - k * 0.693359375f) + k * 2.12194440e-4f;
  V p = all(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.f;
  return p * (V)((half + 127) << 23) * (V)((n - half + 127) << 23);
}
/* x = 2^k m with m in [sqrt(1/2), sqrt(2)) */
INLINE V logarithm(V x) {
  const I small = x < 1.17549435e-38f;
  const V y = where(small, x * 8388608.f, x);
  const I bits = (I)y, over = (bits & 0x7fffff) > 0x3504f3;
  const I k = ((bits >> 23) & 255) - 127 - over - (small & 23);
  V m = (V)((bits & 0x7fffff) | 0x3f800000);
  m = where(over, m * 0.5f, m) - 1.f;
  const V e = __builtin_convertvector(k, V), z = m * m;
  V p = all(7.0376836292e-2f);
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  p = p * m * z + e * -2.12194440e-4f - z * 0.5f;
  p = p + m + e * 0.693359375f;
  p = where(x == 0, all(-INFINITY), p);
  p = where((x < 0) | (x != x), all(NAN), p);
  return where(x == INFINITY, x, p);
}
/* 1 + x is rounded: what it lost comes back as a factor (Kahan) */
INLINE V logarithm1p(V x) {
  const V u = x + 1.f;
  const V y = logarithm(u) * (x / (u - 1.f));
  return where(u == 1.f, x, where(u == INFINITY, u, y));
}
INLINE V powerm1(V x) {
  const V u = power(x), y = (u - 1.f) * x / logarithm(u);
  return where(u == 1.f, x, where(magnitude(x) > 1.f, u - 1.f, y));
}
INLINE V tangent(V x) {
  const V a = magnitude(x), z = x * x;
  const V large = 1.f - 2.f / (power(a + a) + 1.f);
  V p = all(-5.70498872745e-3f);
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  return where(a < 0.625f, p * z * x + x, where(x < 0, -large, large));
}
"""

DOUBLE = """
EACH(root, __builtin_sqrt(x))
EACH(sine, sin(x))
EACH(cosine, cos(x))
EACH(arctangent, atan(x))
EACH(error, erf(x))
EACH(power, exp(x))
EACH(logarithm, log(x))
EACH(logarithm1p, log1p(x))
EACH(powerm1, expm1(x))
EACH(tangent, tanh(x))
INLINE V magnitude(V x) { return (V)((I)x & 0x7fffffffffffffff); }
"""

TAIL = """
/* the power of a negative number does not overflow */
INLINE V logistic(V x) {
  const V e = power(-magnitude(x));
  return where(x < 0, e, all(1)) / (1 + e);
}
INLINE V softplus(V x) { return maximum(x, all(0)) + logarithm1p(power(-magnitude(x))); }
"""


def head(real: str, widest: int = 64) -> str:
    """Return the head of a file that computes in `float` or `double`, in vectors of at most `widest` bytes."""
    whole, size = {"float": ("int32_t", 4), "double": ("int64_t", 8)}[real]
    first, _, rest = HEAD.partition("\n\n")
    for width in (64, 32, 16):
        lanes = ", ".join(map(str, range(width // size)))
        rest = rest.replace(f"#define BYTES {width}\n", f"#define BYTES {width}\n#define LANES {lanes}\n")
    names = f"#define WIDEST {widest}\ntypedef {real} real;\ntypedef {whole} whole;"
    return "\n".join([first, "", names, rest, (FLOAT if real == "float" else DOUBLE).strip(), TAIL.strip(), ""])

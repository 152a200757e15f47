/* Losses that go element by element; see kernels.h for their formulas. */
#include "kernels/nn.h"
#include "kernels/math.h"

#define ALWAYS static inline __attribute__((always_inline))

typedef vf term(vf p, vf t, vf parameter);

static const float epsilon = 1e-7f; /* Keras's */

ALWAYS vf squared(vf p, vf t, vf parameter) {
    (void)parameter;
    return (p - t) * (p - t);
}

ALWAYS vf squared_grad(vf p, vf t, vf parameter) {
    (void)parameter;
    return 2.0f * (p - t);
}

ALWAYS vf absolute(vf p, vf t, vf parameter) {
    (void)parameter;
    return v_abs(p - t);
}

ALWAYS vf sign(vf e) {
    return v_select(e > 0, v_set1(1.0f), v_select(e < 0, v_set1(-1.0f), e)); /* 0 and NaN as they are */
}

ALWAYS vf absolute_grad(vf p, vf t, vf parameter) {
    (void)parameter;
    return sign(p - t);
}

/* e²/2 for |e| ≤ δ, else δ·|e| - δ²/2. */
ALWAYS vf huber(vf p, vf t, vf delta) {
    vf e = v_abs(p - t);
    return v_select(e <= delta, 0.5f * e * e, delta * (e - 0.5f * delta));
}

ALWAYS vf huber_grad(vf p, vf t, vf delta) {
    vf e = p - t;
    return v_select(v_abs(e) <= delta, e, delta * sign(e));
}

ALWAYS vf clipped(vf p) {
    return v_min(v_set1(1.0f - epsilon), v_max(v_set1(epsilon), p));
}

ALWAYS vf binary(vf p, vf t, vf parameter) {
    (void)parameter;
    /* 1 - p is clipped too: 1 less a clipped p would be 1.2e-7 in place of 1e-7. */
    return -(t * v_log(clipped(p)) + (1.0f - t) * v_log(clipped(1.0f - p)));
}

/* Nothing where p was clipped, as in Keras. */
ALWAYS vf binary_grad(vf p, vf t, vf parameter) {
    (void)parameter;
    vf q = clipped(p);
    return v_keep(q == p, (q - t) / (q * (1.0f - q)));
}

/* max(x, 0) - x·t + log(1 + e^-|x|) */
ALWAYS vf binary_logits(vf x, vf t, vf parameter) {
    (void)parameter;
    return v_softplus(x) - x * t;
}

ALWAYS vf binary_logits_grad(vf x, vf t, vf parameter) {
    (void)parameter;
    return v_sigmoid(x) - t;
}

ALWAYS float sum(term *f, float parameter, const float *p, const float *t, int64_t n) {
    vf total = {0}, with = v_set1(parameter);
    int64_t i = 0;
    for (; i + CNN_LANES <= n; i += CNN_LANES) total += f(v_load(p + i), v_load(t + i), with);
    if (i < n) {
        int left = (int)(n - i);
        vi lane;
        for (int l = 0; l < CNN_LANES; l++) lane[l] = l;
        total += v_keep(lane < left, f(v_load_n(p + i, left), v_load_n(t + i, left), with));
    }
    return v_sum(total);
}

ALWAYS void grad(term *f, float parameter, const float *p, const float *t, float scale, float *gradient,
                 int64_t n) {
    vf with = v_set1(parameter);
    for (int64_t i = 0; i < n; i += CNN_LANES) {
        vf slope = f(v_load_some(p + i, n - i), v_load_some(t + i, n - i), with);
        v_store_some(gradient + i, slope * scale, n - i);
    }
}

float CNN_KERNEL(loss_sum)(cnn_pointwise_loss kind, float parameter, const float *prediction,
                           const float *target, int64_t n) {
    switch (kind) {
    case CNN_LOSS_SQUARED:
        return sum(squared, parameter, prediction, target, n);
    case CNN_LOSS_ABSOLUTE:
        return sum(absolute, parameter, prediction, target, n);
    case CNN_LOSS_HUBER:
        return sum(huber, parameter, prediction, target, n);
    case CNN_LOSS_BINARY:
        return sum(binary, parameter, prediction, target, n);
    case CNN_LOSS_BINARY_LOGITS:
        return sum(binary_logits, parameter, prediction, target, n);
    }
    return 0;
}

void CNN_KERNEL(loss_grad)(cnn_pointwise_loss kind, float parameter, const float *prediction,
                           const float *target, float scale, float *gradient, int64_t n) {
    switch (kind) {
    case CNN_LOSS_SQUARED:
        grad(squared_grad, parameter, prediction, target, scale, gradient, n);
        break;
    case CNN_LOSS_ABSOLUTE:
        grad(absolute_grad, parameter, prediction, target, scale, gradient, n);
        break;
    case CNN_LOSS_HUBER:
        grad(huber_grad, parameter, prediction, target, scale, gradient, n);
        break;
    case CNN_LOSS_BINARY:
        grad(binary_grad, parameter, prediction, target, scale, gradient, n);
        break;
    case CNN_LOSS_BINARY_LOGITS:
        grad(binary_logits_grad, parameter, prediction, target, scale, gradient, n);
        break;
    }
}

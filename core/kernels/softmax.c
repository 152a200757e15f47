/* Softmax over rows, its logarithm, and crossentropy over one row. The largest element is subtracted first,
 * so that nothing overflows; a NaN in a row makes the whole row NaN. */
#include "kernels/nn.h"
#include "kernels/math.h"

static float largest(const float *x, int64_t n) {
    vf best = v_set1(-INFINITY);
    for (int64_t i = 0; i < n; i += CNN_LANES) best = v_max(v_load_or(x + i, n - i, -INFINITY), best);
    return v_largest(best);
}

/* e = exp(x - shift); returns Σ e. e may be NULL. */
static float exponentials(const float *x, float shift, float *e, int64_t n) {
    vf sum = {0};
    for (int64_t i = 0; i < n; i += CNN_LANES) {
        vf value = v_exp(v_load_or(x + i, n - i, -INFINITY) - shift);
        sum += value;
        if (e) v_store_some(e + i, value, n - i);
    }
    return v_sum(sum);
}

static float sum_of(const float *x, int64_t n) {
    vf sum = {0};
    for (int64_t i = 0; i < n; i += CNN_LANES) sum += v_load_some(x + i, n - i);
    return v_sum(sum);
}

static float dot(const float *x, const float *y, int64_t n) {
    vf sum = {0};
    for (int64_t i = 0; i < n; i += CNN_LANES)
        sum = v_fma(v_load_some(x + i, n - i), v_load_some(y + i, n - i), sum);
    return v_sum(sum);
}

void CNN_KERNEL(softmax)(bool logarithm, const float *x, float *y, int64_t rows, int64_t columns) {
    for (int64_t r = 0; r < rows; r++, x += columns, y += columns) {
        float shift = largest(x, columns), sum = exponentials(x, shift, logarithm ? NULL : y, columns);
        if (logarithm) {
            float logsum = logf(sum);
            for (int64_t i = 0; i < columns; i++) y[i] = x[i] - shift - logsum;
        } else {
            float scale = 1.0f / sum;
            for (int64_t i = 0; i < columns; i++) y[i] *= scale;
        }
    }
}

/* softmax: dx = y·(dy - Σ dy·y); its logarithm: dx = dy - e^y·Σ dy. */
void CNN_KERNEL(softmax_grad)(bool logarithm, const float *y, const float *dy, float *dx, int64_t rows,
                              int64_t columns) {
    for (int64_t r = 0; r < rows; r++, y += columns, dy += columns, dx += columns) {
        float sum = logarithm ? sum_of(dy, columns) : dot(y, dy, columns);
        for (int64_t i = 0; i < columns; i += CNN_LANES) {
            vf out = v_load_some(y + i, columns - i), gradient = v_load_some(dy + i, columns - i);
            vf value = logarithm ? gradient - v_exp(out) * sum : out * (gradient - sum);
            v_store_some(dx + i, value, columns - i);
        }
    }
}

/* ---- crossentropy -------------------------------------------------------------------------------------- */

static const float epsilon = 1e-7f; /* Keras's */

static inline vf clipped(vf q) {
    return v_min(v_set1(1.0f - epsilon), v_max(v_set1(epsilon), q));
}

/* Logits: Σ t·(log Σ e^x - x). Terms with t = 0 count nothing even where x is -inf. */
static float from_logits_sum(const float *x, const float *target, float *softmax, int64_t n) {
    float shift = largest(x, n), sum = exponentials(x, shift, softmax, n), logsum = logf(sum);
    vf loss = {0};
    for (int64_t i = 0; i < n; i += CNN_LANES) {
        vf t = v_load_some(target + i, n - i);
        vf term = t * (logsum - (v_load_some(x + i, n - i) - shift));
        loss += v_keep(t != 0, term);
        v_store_some(softmax + i, v_load_some(softmax + i, n - i) * (1.0f / sum), n - i);
    }
    return v_sum(loss);
}

float CNN_KERNEL(crossentropy)(bool from_logits, const float *x, const float *target, float *softmax,
                               int64_t classes) {
    if (from_logits) return from_logits_sum(x, target, softmax, classes);
    float sum = sum_of(x, classes);
    vf loss = {0};
    for (int64_t i = 0; i < classes; i += CNN_LANES) {
        vf q = clipped(v_load_some(x + i, classes - i) / sum);
        loss -= v_load_some(target + i, classes - i) * v_log(q);
    }
    return v_sum(loss);
}

/* Of probabilities, with q = x / Σx: dL/dq = -t/q, 0 where q is clipped; dL/dx = (dL/dq - Σ q·dL/dq) / Σx */
static void probabilities_grad(const float *x, const float *target, float scale, float *gradient, int64_t n) {
    float sum = sum_of(x, n);
    vf inner = {0};
    for (int64_t i = 0; i < n; i += CNN_LANES) {
        vf q = v_load_some(x + i, n - i) / sum;
        vf slope = v_keep(clipped(q) == q, -v_load_some(target + i, n - i) / q);
        inner += v_keep(slope != 0, slope * q);
        v_store_some(gradient + i, slope, n - i);
    }
    float mean = v_sum(inner), factor = scale / sum;
    for (int64_t i = 0; i < n; i++) gradient[i] = (gradient[i] - mean) * factor;
}

void CNN_KERNEL(crossentropy_grad)(bool from_logits, const float *x, const float *target, float scale,
                                   float *gradient, int64_t classes) {
    if (!from_logits) {
        probabilities_grad(x, target, scale, gradient, classes);
        return;
    }
    float sum = sum_of(target, classes);
    for (int64_t i = 0; i < classes; i++) gradient[i] = (x[i] * sum - target[i]) * scale;
}

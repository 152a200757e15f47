/* The optimizers' passes over weights and their state; the formulas are told where the optimizers are
 * (core/train).
 *
 * Plain loops, which the compiler turns into vectors of any width: an element's result does not depend on its
 * neighbours, and in ISO C mode nothing is fused or reordered, so every instruction set gives the same bits.
 * Constants are worked out in double precision and rounded once. */
#include "kernels/optimizer.h"

#include <math.h>

void CNN_KERNEL(step_sgd)(int64_t n, float *restrict w, const float *restrict g, float *restrict m,
                          double rate, double mu, bool nesterov) {
    const float r = (float)rate, u = (float)mu;
    if (!m) {
        for (int64_t i = 0; i < n; i++) w[i] -= r * g[i];
    } else if (nesterov) {
        for (int64_t i = 0; i < n; i++) {
            float step = r * g[i], momentum = u * m[i] - step;
            m[i] = momentum;
            w[i] += u * momentum - step;
        }
    } else {
        for (int64_t i = 0; i < n; i++) {
            float momentum = u * m[i] - r * g[i];
            m[i] = momentum;
            w[i] += momentum;
        }
    }
}

/* The variance estimate v - mean² cannot be negative but for rounding, which must not reach the root. */
static inline __attribute__((always_inline)) void rmsprop(int64_t n, float *restrict w,
                                                          const float *restrict g, float *restrict v,
                                                          float *restrict m, float *restrict mean, float rate,
                                                          float rho, float rest, float mu, float epsilon) {
    for (int64_t i = 0; i < n; i++) {
        float velocity = rho * v[i] + rest * (g[i] * g[i]);
        v[i] = velocity;
        if (mean) {
            mean[i] = rho * mean[i] + rest * g[i];
            float variance = velocity - mean[i] * mean[i];
            velocity = variance < 0 ? 0 : variance;
        }
        float step = rate * g[i] / sqrtf(velocity + epsilon);
        if (m) {
            m[i] = mu * m[i] + step;
            step = m[i];
        }
        w[i] -= step;
    }
}

void CNN_KERNEL(step_rmsprop)(int64_t n, float *w, const float *g, float *v, float *m, float *mean,
                              double rate, double rho, double mu, double epsilon) {
    const float r = (float)rate, p = (float)rho, q = (float)(1 - rho), u = (float)mu, e = (float)epsilon;
    if (m && mean)
        rmsprop(n, w, g, v, m, mean, r, p, q, u, e);
    else if (m)
        rmsprop(n, w, g, v, m, NULL, r, p, q, u, e);
    else if (mean)
        rmsprop(n, w, g, v, NULL, mean, r, p, q, u, e);
    else
        rmsprop(n, w, g, v, NULL, NULL, r, p, q, u, e);
}

static inline __attribute__((always_inline)) void adam(int64_t n, float *restrict w, const float *restrict g,
                                                       float *restrict m, float *restrict v,
                                                       float *restrict highest, float alpha, float rest_1,
                                                       float rest_2, float epsilon) {
    for (int64_t i = 0; i < n; i++) {
        m[i] += (g[i] - m[i]) * rest_1;
        float velocity = v[i] + (g[i] * g[i] - v[i]) * rest_2;
        v[i] = velocity;
        if (highest) {
            velocity = velocity <= highest[i] ? highest[i] : velocity;
            highest[i] = velocity;
        }
        w[i] -= alpha * m[i] / (sqrtf(velocity) + epsilon);
    }
}

void CNN_KERNEL(step_adam)(int64_t n, float *w, const float *g, float *m, float *v, float *highest,
                           double alpha, double beta_1, double beta_2, double epsilon) {
    const float a = (float)alpha, p = (float)(1 - beta_1), q = (float)(1 - beta_2), e = (float)epsilon;
    if (highest)
        adam(n, w, g, m, v, highest, a, p, q, e);
    else
        adam(n, w, g, m, v, NULL, a, p, q, e);
}

void CNN_KERNEL(step_adagrad)(int64_t n, float *restrict w, const float *restrict g,
                              float *restrict accumulator, double rate, double epsilon) {
    const float r = (float)rate, e = (float)epsilon;
    for (int64_t i = 0; i < n; i++) {
        float sum = accumulator[i] + g[i] * g[i];
        accumulator[i] = sum;
        w[i] -= r * g[i] / sqrtf(sum + e);
    }
}

void CNN_KERNEL(regularize)(int64_t n, float *restrict g, const float *restrict w, float l1, float l2) {
    const float twice = 2 * l2;
    for (int64_t i = 0; i < n; i++) {
        float sign = w[i] > 0 ? l1 : w[i] < 0 ? -l1 : 0;
        g[i] += sign + twice * w[i];
    }
}

/* What is not a number stays so. */
void CNN_KERNEL(clip)(int64_t n, float *x, float limit) {
    for (int64_t i = 0; i < n; i++) x[i] = x[i] > limit ? limit : x[i] < -limit ? -limit : x[i];
}

void CNN_KERNEL(decay)(int64_t n, float *x, float share) {
    for (int64_t i = 0; i < n; i++) x[i] -= share * x[i];
}

/* Eight sums side by side, whatever the vectors' width, so that all instruction sets add in one order. */
double CNN_KERNEL(sum_squares)(int64_t n, const float *x) {
    enum { SUMS = 8 };
    double sum[SUMS] = {0};
    int64_t i = 0;
    for (; i + SUMS <= n; i += SUMS)
        for (int k = 0; k < SUMS; k++) sum[k] += (double)x[i + k] * (double)x[i + k];
    for (; i < n; i++) sum[i % SUMS] += (double)x[i] * (double)x[i];
    for (int width = SUMS / 2; width > 0; width /= 2)
        for (int k = 0; k < width; k++) sum[k] += sum[k + width];
    return sum[0];
}

/* Functions of one number and their derivatives, rows of biases added and summed up.
 *
 * Each function is written once on a vector; `map` carries it over an array, `map_grad` its derivative. Both
 * are inlined into every case, so that the function passed is known and inlined too. */
#include "kernels/nn.h"
#include "kernels/math.h"

#define ALWAYS static inline __attribute__((always_inline))

typedef vf function(vf x, vf parameter);
typedef vf derivative(vf z, vf dy, vf parameter);

ALWAYS void map(function *f, float parameter, const float *x, float *y, int64_t n) {
    vf p = v_set1(parameter);
    int64_t i = 0;
    for (; i + CNN_LANES <= n; i += CNN_LANES) v_store(y + i, f(v_load(x + i), p));
    if (i < n) v_store_n(y + i, f(v_load_n(x + i, (int)(n - i)), p), (int)(n - i));
}

ALWAYS void map_grad(derivative *f, float parameter, const float *z, const float *dy, float *dx, int64_t n) {
    vf p = v_set1(parameter);
    int64_t i = 0;
    for (; i + CNN_LANES <= n; i += CNN_LANES) v_store(dx + i, f(v_load(z + i), v_load(dy + i), p));
    if (i < n) {
        int left = (int)(n - i);
        v_store_n(dx + i, f(v_load_n(z + i, left), v_load_n(dy + i, left), p), left);
    }
}

/* ---- the functions ------------------------------------------------------------------------------------- */

/* Klambauer et al. 2017. */
static const float selu_scale = 1.05070098735548049f, selu_alpha = 1.67326324235437728f;

ALWAYS vf relu(vf x, vf parameter) {
    (void)parameter;
    return v_max(v_set1(0.0f), x); /* in this order NaN stays */
}

ALWAYS vf leaky_relu(vf x, vf slope) {
    return v_select(x > 0, x, slope * x);
}

ALWAYS vf elu(vf x, vf alpha) {
    return v_select(x > 0, x, alpha * v_expm1(x));
}

ALWAYS vf selu(vf x, vf parameter) {
    (void)parameter;
    return selu_scale * elu(x, v_set1(selu_alpha));
}

ALWAYS vf sigmoid(vf x, vf parameter) {
    (void)parameter;
    return v_sigmoid(x);
}

ALWAYS vf tangent(vf x, vf parameter) {
    (void)parameter;
    return v_tanh(x);
}

ALWAYS vf exponential(vf x, vf parameter) {
    (void)parameter;
    return v_exp(x);
}

ALWAYS vf square_root(vf x, vf parameter) {
    (void)parameter;
    for (int i = 0; i < CNN_LANES; i++) x[i] = __builtin_sqrtf(x[i]);
    return x;
}

ALWAYS vf relu6(vf x, vf parameter) {
    (void)parameter;
    return v_min(v_set1(6.0f), v_max(v_set1(0.0f), x));
}

ALWAYS vf hard_sigmoid(vf x, vf parameter) {
    (void)parameter;
    return v_min(v_set1(1.0f), v_max(v_set1(0.0f), x / 6.0f + 0.5f));
}

ALWAYS vf softsign(vf x, vf parameter) {
    (void)parameter;
    return x / (1.0f + v_abs(x));
}

ALWAYS vf softplus(vf x, vf parameter) {
    (void)parameter;
    return v_softplus(x);
}

ALWAYS vf silu(vf x, vf parameter) {
    (void)parameter;
    return x * v_sigmoid(x);
}

/* x·Φ(x), Φ being the normal distribution (Hendrycks and Gimpel 2016), and their approximation of it. */
ALWAYS vf gelu(vf x, vf parameter) {
    (void)parameter;
    return 0.5f * x * (1.0f + v_erf(x * 0.707106781186547524f));
}

ALWAYS vf gelu_inner(vf x) {
    return 0.797884560802865356f * x * v_fma(v_set1(0.044715f) * x, x, v_set1(1.0f));
}

ALWAYS vf gelu_tanh(vf x, vf parameter) {
    (void)parameter;
    return 0.5f * x * (1.0f + v_tanh(gelu_inner(x)));
}

ALWAYS vf square(vf x, vf parameter) {
    (void)parameter;
    return x * x;
}

ALWAYS vf logarithm(vf x, vf parameter) {
    (void)parameter;
    return v_log(x);
}

ALWAYS vf absolute(vf x, vf parameter) {
    (void)parameter;
    return v_abs(x);
}

void CNN_KERNEL(activate)(cnn_activation_kind kind, float parameter, const float *x, float *y, int64_t n) {
    switch (kind) {
    case CNN_ACTIVATION_RELU:
        map(relu, parameter, x, y, n);
        break;
    case CNN_ACTIVATION_LEAKY_RELU:
        map(leaky_relu, parameter, x, y, n);
        break;
    case CNN_ACTIVATION_ELU:
        map(elu, parameter, x, y, n);
        break;
    case CNN_ACTIVATION_SELU:
        map(selu, parameter, x, y, n);
        break;
    case CNN_ACTIVATION_SIGMOID:
        map(sigmoid, parameter, x, y, n);
        break;
    case CNN_ACTIVATION_TANH:
        map(tangent, parameter, x, y, n);
        break;
    case CNN_ACTIVATION_EXP:
        map(exponential, parameter, x, y, n);
        break;
    case CNN_ACTIVATION_SQRT:
        map(square_root, parameter, x, y, n);
        break;
    case CNN_ACTIVATION_RELU6:
        map(relu6, parameter, x, y, n);
        break;
    case CNN_ACTIVATION_HARD_SIGMOID:
        map(hard_sigmoid, parameter, x, y, n);
        break;
    case CNN_ACTIVATION_SOFTSIGN:
        map(softsign, parameter, x, y, n);
        break;
    case CNN_ACTIVATION_SOFTPLUS:
        map(softplus, parameter, x, y, n);
        break;
    case CNN_ACTIVATION_SILU:
        map(silu, parameter, x, y, n);
        break;
    case CNN_ACTIVATION_GELU:
        map(gelu, parameter, x, y, n);
        break;
    case CNN_ACTIVATION_GELU_TANH:
        map(gelu_tanh, parameter, x, y, n);
        break;
    case CNN_ACTIVATION_SQUARE:
        map(square, parameter, x, y, n);
        break;
    case CNN_ACTIVATION_LOG:
        map(logarithm, parameter, x, y, n);
        break;
    case CNN_ACTIVATION_ABS:
        map(absolute, parameter, x, y, n);
        break;
    }
}

/* ---- their derivatives, from the output y or the input x ----------------------------------------------- */

ALWAYS vf relu_grad(vf y, vf dy, vf parameter) {
    (void)parameter;
    return v_keep(y > 0, dy);
}

ALWAYS vf leaky_relu_grad(vf y, vf dy, vf slope) {
    return v_select(y > 0, dy, slope * dy);
}

ALWAYS vf elu_grad(vf y, vf dy, vf alpha) {
    return v_select(y > 0, dy, dy * (y + alpha));
}

ALWAYS vf selu_grad(vf y, vf dy, vf parameter) {
    (void)parameter;
    return dy * v_select(y > 0, v_set1(selu_scale), y + selu_scale * selu_alpha);
}

ALWAYS vf sigmoid_grad(vf y, vf dy, vf parameter) {
    (void)parameter;
    return dy * y * (1.0f - y);
}

ALWAYS vf tangent_grad(vf y, vf dy, vf parameter) {
    (void)parameter;
    return dy * (1.0f - y * y);
}

ALWAYS vf exponential_grad(vf y, vf dy, vf parameter) {
    (void)parameter;
    return dy * y;
}

ALWAYS vf square_root_grad(vf y, vf dy, vf parameter) {
    (void)parameter;
    return 0.5f * dy / y;
}

ALWAYS vf relu6_grad(vf y, vf dy, vf parameter) {
    (void)parameter;
    return v_keep((y > 0) & (y < 6), dy);
}

ALWAYS vf hard_sigmoid_grad(vf y, vf dy, vf parameter) {
    (void)parameter;
    return v_keep((y > 0) & (y < 1), dy / 6.0f);
}

ALWAYS vf softsign_grad(vf y, vf dy, vf parameter) {
    (void)parameter;
    vf s = 1.0f - v_abs(y);
    return dy * s * s;
}

ALWAYS vf softplus_grad(vf x, vf dy, vf parameter) {
    (void)parameter;
    return dy * v_sigmoid(x);
}

ALWAYS vf silu_grad(vf x, vf dy, vf parameter) {
    (void)parameter;
    vf s = v_sigmoid(x);
    return dy * s * (1.0f + x * (1.0f - s));
}

ALWAYS vf gelu_grad(vf x, vf dy, vf parameter) {
    (void)parameter;
    vf density = 0.398942280401432678f * v_exp(-0.5f * x * x);
    return dy * (0.5f * (1.0f + v_erf(x * 0.707106781186547524f)) + x * density);
}

ALWAYS vf gelu_tanh_grad(vf x, vf dy, vf parameter) {
    (void)parameter;
    vf t = v_tanh(gelu_inner(x));
    vf slope = 0.797884560802865356f * v_fma(v_set1(3 * 0.044715f) * x, x, v_set1(1.0f));
    return dy * (0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * slope);
}

ALWAYS vf square_grad(vf x, vf dy, vf parameter) {
    (void)parameter;
    return dy * (x + x);
}

ALWAYS vf logarithm_grad(vf x, vf dy, vf parameter) {
    (void)parameter;
    return dy / x;
}

ALWAYS vf absolute_grad(vf x, vf dy, vf parameter) {
    (void)parameter;
    return v_select(x > 0, dy, v_keep(x < 0, -dy));
}

void CNN_KERNEL(activate_grad)(cnn_activation_kind kind, float parameter, const float *z, const float *dy,
                               float *dx, int64_t n) {
    switch (kind) {
    case CNN_ACTIVATION_RELU:
        map_grad(relu_grad, parameter, z, dy, dx, n);
        break;
    case CNN_ACTIVATION_LEAKY_RELU:
        map_grad(leaky_relu_grad, parameter, z, dy, dx, n);
        break;
    case CNN_ACTIVATION_ELU:
        map_grad(elu_grad, parameter, z, dy, dx, n);
        break;
    case CNN_ACTIVATION_SELU:
        map_grad(selu_grad, parameter, z, dy, dx, n);
        break;
    case CNN_ACTIVATION_SIGMOID:
        map_grad(sigmoid_grad, parameter, z, dy, dx, n);
        break;
    case CNN_ACTIVATION_TANH:
        map_grad(tangent_grad, parameter, z, dy, dx, n);
        break;
    case CNN_ACTIVATION_EXP:
        map_grad(exponential_grad, parameter, z, dy, dx, n);
        break;
    case CNN_ACTIVATION_SQRT:
        map_grad(square_root_grad, parameter, z, dy, dx, n);
        break;
    case CNN_ACTIVATION_RELU6:
        map_grad(relu6_grad, parameter, z, dy, dx, n);
        break;
    case CNN_ACTIVATION_HARD_SIGMOID:
        map_grad(hard_sigmoid_grad, parameter, z, dy, dx, n);
        break;
    case CNN_ACTIVATION_SOFTSIGN:
        map_grad(softsign_grad, parameter, z, dy, dx, n);
        break;
    case CNN_ACTIVATION_SOFTPLUS:
        map_grad(softplus_grad, parameter, z, dy, dx, n);
        break;
    case CNN_ACTIVATION_SILU:
        map_grad(silu_grad, parameter, z, dy, dx, n);
        break;
    case CNN_ACTIVATION_GELU:
        map_grad(gelu_grad, parameter, z, dy, dx, n);
        break;
    case CNN_ACTIVATION_GELU_TANH:
        map_grad(gelu_tanh_grad, parameter, z, dy, dx, n);
        break;
    case CNN_ACTIVATION_SQUARE:
        map_grad(square_grad, parameter, z, dy, dx, n);
        break;
    case CNN_ACTIVATION_LOG:
        map_grad(logarithm_grad, parameter, z, dy, dx, n);
        break;
    case CNN_ACTIVATION_ABS:
        map_grad(absolute_grad, parameter, z, dy, dx, n);
        break;
    }
}

/* ---- rows ---------------------------------------------------------------------------------------------- */

void CNN_KERNEL(affine)(float scale, float offset, const float *x, float *y, int64_t n) {
    vf a = v_set1(scale), b = v_set1(offset);
    int64_t i = 0;
    for (; i + CNN_LANES <= n; i += CNN_LANES) v_store(y + i, v_fma(v_load(x + i), a, b));
    if (i < n) v_store_n(y + i, v_fma(v_load_n(x + i, (int)(n - i)), a, b), (int)(n - i));
}

static void add_bias(const float *bias, bool relu_too, const float *x, float *y, int64_t rows,
                     int64_t columns) {
    vf least = v_set1(relu_too ? 0.0f : -INFINITY);
    for (int64_t r = 0; r < rows; r++, x += columns, y += columns)
        for (int64_t c = 0; c < columns; c += CNN_LANES) {
            vf sum = v_load_some(x + c, columns - c);
            if (bias) sum += v_load_some(bias + c, columns - c);
            v_store_some(y + c, v_max(least, sum), columns - c);
        }
}

/* Of short rows, so many that they fill vectors are taken as one, with as many copies of the bias. */
void CNN_KERNEL(bias_relu)(const float *bias, bool relu_too, const float *x, float *y, int64_t rows,
                           int64_t columns) {
    float copies[CNN_LANES * CNN_LANES];
    if (columns < CNN_LANES && rows >= CNN_LANES) {
        int64_t wide = columns * CNN_LANES, whole = rows / CNN_LANES;
        for (int64_t i = 0; bias && i < wide; i++) copies[i] = bias[i % columns];
        add_bias(bias ? copies : NULL, relu_too, x, y, whole, wide);
        x += whole * wide;
        y += whole * wide;
        rows -= whole * CNN_LANES;
    }
    add_bias(bias, relu_too, x, y, rows, columns);
}

/* Blocks of rows are summed apart, so that rounding grows with the square root of the rows rather than with
 * them; within a block in four chains, as one would wait for each addition. */
void CNN_KERNEL(sum_rows)(const float *x, int64_t rows, int64_t columns, int64_t stride, float *sums) {
    enum { BLOCK = 256 };
    for (int64_t c = 0; c < columns; c += CNN_LANES) {
        vf total = v_load_some(sums + c, columns - c);
        for (int64_t from = 0; from < rows; from += BLOCK) {
            int64_t to = from + BLOCK < rows ? from + BLOCK : rows;
            vf sum[4] = {{0}, {0}, {0}, {0}};
            int64_t r = from;
            for (; r + 4 <= to; r += 4)
                for (int i = 0; i < 4; i++) sum[i] += v_load_some(x + (r + i) * stride + c, columns - c);
            for (; r < to; r++) sum[0] += v_load_some(x + r * stride + c, columns - c);
            total += (sum[0] + sum[1]) + (sum[2] + sum[3]);
        }
        v_store_some(sums + c, total, columns - c);
    }
}

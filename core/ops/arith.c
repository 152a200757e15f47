/* Arithmetic on two inputs with NumPy's broadcasting, and the average of several inputs.
 *
 * An input's gradient is made in the shape of the output and then summed over the axes along which the input
 * was broadcast. Where it was not, it is made in place. Otherwise it is made in scratch: of a few samples at
 * a time if the first axis is the samples' in both inputs, of everything if not. */
#include "ops/arith.h"
#include "ops/shape.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"

#include <string.h>

static const cnn_param no_params[] = {{0}};

/* ---- ranges of samples --------------------------------------------------------------------------------- */

/* Elements of the output to work on at a time. */
enum { BLOCK = 1 << 16 };

static bool has_samples(const cnn_tensor *a, const cnn_tensor *b) {
    return a->rank > 0 && a->rank == b->rank && a->shape[0] == b->shape[0];
}

/* How many samples of `size` elements are worked on at a time. */
static int64_t block_samples(int64_t size) {
    return size >= BLOCK || size <= 0 ? 1 : BLOCK / size;
}

static size_t scratch_elements(const cnn_op_info *info) {
    int64_t size = 1;
    for (int i = info->per_sample ? 1 : 0; i < info->rank; i++) {
        int64_t sizes = info->shape[i] < 0 ? 1 : info->shape[i];
        if (__builtin_mul_overflow(size, sizes, &size))
            return 0; /* no tensor is so large: refused after infer */
    }
    return CNN_ROUND_UP((size_t)(info->per_sample ? size * block_samples(size) : size), CNN_ALIGN);
}

static cnn_tensor some_samples(const cnn_tensor *t, int64_t from, int64_t count) {
    cnn_tensor part = *t;
    int64_t size = cnn_sample_size(t);
    part.shape[0] = count;
    part.size = size * count;
    part.data = t->data ? (char *)t->data + (size_t)(from * size) * cnn_dtype_size(t->dtype) : NULL;
    return part;
}

/* ---- gradients of one input ---------------------------------------------------------------------------- */

/* What the formulas of gradients read and write; all but x and y are of the output's shape. */
typedef struct terms {
    const cnn_tensor *x, *y, *output, *dy;
    cnn_tensor *result; /* the input's gradient before summing; may not be dy */
    cnn_tensor *mask;   /* uint8 */
    void *power;        /* floats, for pow only: as many as the output has */
} terms;

/* result = the gradient of input 0 or 1. */
typedef void formula(const terms *t, int input);

static void pass_where(const terms *t, cnn_binary_op comparison, int input) {
    cnn_binary_op other = comparison == CNN_GREATER_EQUAL ? CNN_LESS : CNN_GREATER;
    cnn_binary_into(t->mask, input == 0 ? comparison : other, t->x, t->y);
    cnn_binary_into(t->result, CNN_MUL, t->dy, t->mask);
}

static void add_grad(const terms *t, int input) {
    (void)input;
    cnn_cast_into(t->result, t->dy);
}

static void subtract_grad(const terms *t, int input) {
    if (input == 0)
        cnn_cast_into(t->result, t->dy);
    else
        cnn_unary_into(t->result, CNN_NEG, t->dy);
}

static void multiply_grad(const terms *t, int input) {
    cnn_binary_into(t->result, CNN_MUL, t->dy, input == 0 ? t->y : t->x);
}

/* dx = dy/y; of the divisor -dy·(x/y)/y. */
static void divide_grad(const terms *t, int input) {
    cnn_binary_into(t->result, CNN_DIV, t->dy, t->y);
    if (input == 0) return;
    cnn_binary_into(t->result, CNN_MUL, t->result, t->output);
    cnn_unary_into(t->result, CNN_NEG, t->result);
}

/* Of equals the first input gets all, as in TensorFlow. */
static void maximum_grad(const terms *t, int input) {
    pass_where(t, CNN_GREATER_EQUAL, input);
}

static void minimum_grad(const terms *t, int input) {
    pass_where(t, CNN_LESS_EQUAL, input);
}

/* dx = dy·y·x^(y-1), taken as 0 where y is 0; of the exponent dy·x^y·log x, as 0 where x is 0 or less. */
static void pow_grad(const terms *t, int input) {
    cnn_tensor power = *t->result;
    power.data = t->power;
    float zero = 0, one = 1;
    cnn_tensor zeros = cnn_tensor_wrap(CNN_FLOAT32, 0, NULL, &zero),
               ones = cnn_tensor_wrap(CNN_FLOAT32, 0, NULL, &one);
    if (input == 0) {
        cnn_binary_into(&power, CNN_SUB, t->y, &ones);
        cnn_binary_into(&power, CNN_POW, t->x, &power);
        cnn_binary_into(t->result, CNN_MUL, t->dy, t->y);
        cnn_binary_into(t->mask, CNN_NOT_EQUAL, t->y, &zeros);
    } else {
        cnn_broadcast_into(&power, t->x);
        cnn_unary_into(&power, CNN_LOG, &power);
        cnn_binary_into(t->result, CNN_MUL, t->dy, t->output);
        cnn_binary_into(t->mask, CNN_GREATER, t->x, &zeros);
    }
    float *result = cnn_f32(t->result), *factor = t->power;
    const uint8_t *counts = cnn_u8(t->mask);
    for (int64_t i = 0; i < t->result->size; i++) result[i] = counts[i] ? result[i] * factor[i] : 0.0f;
}

/* ---- the common shape ---------------------------------------------------------------------------------- */

/* dx of one input, for all rows of the call or some; `memory` is scratch of floats, then masks, then pow's
 * floats. */
static void input_gradient(formula *f, int input, terms t, cnn_tensor *dx, char *memory, size_t elements) {
    cnn_tensor made = *t.dy, mask = *t.dy;
    made.data = cnn_same_shape(dx, t.dy) ? dx->data : memory;
    mask.dtype = CNN_UINT8;
    mask.data = memory + elements * sizeof(float);
    t.result = &made;
    t.mask = &mask;
    t.power = memory + elements * (sizeof(float) + 1);
    f(&t, input);
    if (made.data != dx->data) cnn_sum_to_into(dx, &made);
}

/* whole: no masks are made, so that without broadcasting scratch is not needed. */
static void gradients(const cnn_op_call *call, formula *f, bool whole) {
    const cnn_tensor *x = call->inputs[0], *y = call->inputs[1], *dy = call->grad_output;
    cnn_op_info info = {.rank = dy->rank, .per_sample = has_samples(x, y)};
    memcpy(info.shape, dy->shape, sizeof info.shape);
    size_t elements = scratch_elements(&info);
    for (int input = 0; input < 2; input++) {
        cnn_tensor *dx = call->grad_inputs[input];
        if (!dx) continue;
        if (!info.per_sample || (whole && cnn_same_shape(dx, dy))) {
            terms all = {.x = x, .y = y, .output = call->output, .dy = dy};
            input_gradient(f, input, all, dx, call->scratch, elements);
            continue;
        }
        int64_t rows = dy->shape[0], block = block_samples(cnn_sample_size(dy));
        for (int64_t from = 0; from < rows; from += block) {
            int64_t count = rows - from < block ? rows - from : block;
            cnn_tensor x_part = some_samples(x, from, count), y_part = some_samples(y, from, count);
            cnn_tensor output_part = some_samples(call->output, from, count),
                       dy_part = some_samples(dy, from, count);
            cnn_tensor dx_part = some_samples(dx, from, count);
            terms part = {.x = &x_part, .y = &y_part, .output = &output_part, .dy = &dy_part};
            input_gradient(f, input, part, &dx_part, call->scratch, elements);
        }
    }
}

static cnn_status infer(const cnn_tensor *const *inputs, const void *attributes, size_t element,
                        cnn_op_info *info) {
    const char *who = ((const cnn_object *)attributes)->class->name;
    CNN_TRY(cnn_broadcast_shape(who, inputs[0], inputs[1], &info->rank, info->shape));
    info->per_sample = has_samples(inputs[0], inputs[1]);
    info->scratch = scratch_elements(info) * element;
    return CNN_OK;
}

static cnn_status infer_plain(const void *attributes, const cnn_tensor *const *inputs, int n,
                              cnn_op_info *info) {
    (void)n;
    return infer(inputs, attributes, sizeof(float), info);
}

static cnn_status infer_masked(const void *attributes, const cnn_tensor *const *inputs, int n,
                               cnn_op_info *info) {
    (void)n;
    return infer(inputs, attributes, sizeof(float) + 1, info);
}

static cnn_status infer_pow(const void *attributes, const cnn_tensor *const *inputs, int n,
                            cnn_op_info *info) {
    (void)n;
    return infer(inputs, attributes, 2 * sizeof(float) + 1, info);
}

/* ---- the ops ------------------------------------------------------------------------------------------- */

static cnn_status forward(const cnn_op_call *call, cnn_binary_op op) {
    cnn_binary_into(call->output, op, call->inputs[0], call->inputs[1]);
    return CNN_OK;
}

static cnn_status backward(const cnn_op_call *call, formula *f, bool whole) {
    gradients(call, f, whole);
    return CNN_OK;
}

static cnn_status add_forward(const cnn_op_call *call) {
    return forward(call, CNN_ADD);
}

static cnn_status add_backward(const cnn_op_call *call) {
    return backward(call, add_grad, true);
}

static cnn_status subtract_forward(const cnn_op_call *call) {
    return forward(call, CNN_SUB);
}

static cnn_status subtract_backward(const cnn_op_call *call) {
    return backward(call, subtract_grad, true);
}

static cnn_status multiply_forward(const cnn_op_call *call) {
    return forward(call, CNN_MUL);
}

static cnn_status multiply_backward(const cnn_op_call *call) {
    return backward(call, multiply_grad, true);
}

static cnn_status divide_forward(const cnn_op_call *call) {
    return forward(call, CNN_DIV);
}

static cnn_status divide_backward(const cnn_op_call *call) {
    return backward(call, divide_grad, true);
}

static cnn_status maximum_forward(const cnn_op_call *call) {
    return forward(call, CNN_MAXIMUM);
}

static cnn_status maximum_backward(const cnn_op_call *call) {
    return backward(call, maximum_grad, false);
}

static cnn_status minimum_forward(const cnn_op_call *call) {
    return forward(call, CNN_MINIMUM);
}

static cnn_status minimum_backward(const cnn_op_call *call) {
    return backward(call, minimum_grad, false);
}

static cnn_status pow_forward(const cnn_op_call *call) {
    return forward(call, CNN_POW);
}

static cnn_status pow_backward(const cnn_op_call *call) {
    return backward(call, pow_grad, false);
}

/* clang-format off */
const cnn_op cnn_op_add = {
    .class = CNN_CLASS("op", "add", NULL, cnn_plain_op, no_params),
    .min_inputs = 2, .max_inputs = 2, .per_sample = true, .self_parallel = true,
    .infer = infer_plain, .forward = add_forward, .backward = add_backward};

const cnn_op cnn_op_subtract = {
    .class = CNN_CLASS("op", "subtract", NULL, cnn_plain_op, no_params),
    .min_inputs = 2, .max_inputs = 2, .per_sample = true, .self_parallel = true,
    .infer = infer_plain, .forward = subtract_forward, .backward = subtract_backward};

const cnn_op cnn_op_multiply = {
    .class = CNN_CLASS("op", "multiply", NULL, cnn_plain_op, no_params),
    .min_inputs = 2, .max_inputs = 2, .per_sample = true, .self_parallel = true, .needs = 1u << 0 | 1u << 1,
    .infer = infer_plain, .forward = multiply_forward, .backward = multiply_backward};

const cnn_op cnn_op_divide = {
    .class = CNN_CLASS("op", "divide", NULL, cnn_plain_op, no_params),
    .min_inputs = 2, .max_inputs = 2, .per_sample = true, .self_parallel = true,
    .needs = 1u << 1 | CNN_NEEDS_OUTPUT,
    .infer = infer_plain, .forward = divide_forward, .backward = divide_backward};

const cnn_op cnn_op_maximum = {
    .class = CNN_CLASS("op", "maximum", NULL, cnn_plain_op, no_params),
    .min_inputs = 2, .max_inputs = 2, .per_sample = true, .self_parallel = true, .needs = 1u << 0 | 1u << 1,
    .infer = infer_masked, .forward = maximum_forward, .backward = maximum_backward};

const cnn_op cnn_op_minimum = {
    .class = CNN_CLASS("op", "minimum", NULL, cnn_plain_op, no_params),
    .min_inputs = 2, .max_inputs = 2, .per_sample = true, .self_parallel = true, .needs = 1u << 0 | 1u << 1,
    .infer = infer_masked, .forward = minimum_forward, .backward = minimum_backward};

const cnn_op cnn_op_pow = {
    .class = CNN_CLASS("op", "pow", "power", cnn_plain_op, no_params),
    .min_inputs = 2, .max_inputs = 2, .per_sample = true, .self_parallel = true,
    .needs = 1u << 0 | 1u << 1 | CNN_NEEDS_OUTPUT,
    .infer = infer_pow, .forward = pow_forward, .backward = pow_backward};
/* clang-format on */

/* ---- average ------------------------------------------------------------------------------------------- */

static cnn_status average_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                                cnn_op_info *info) {
    (void)attributes;
    for (int i = 1; i < n_inputs; i++)
        if (!cnn_same_shape(inputs[i], inputs[0])) {
            char first[CNN_SHAPE_TEXT], other[CNN_SHAPE_TEXT];
            return cnn_fail(CNN_ERROR_SHAPE,
                            "average: expected inputs of one shape, got %s and %s (input %d)",
                            cnn_shape_text(first, sizeof first, inputs[0]->rank, inputs[0]->shape),
                            cnn_shape_text(other, sizeof other, inputs[i]->rank, inputs[i]->shape), i + 1);
        }
    cnn_infer_like(info, inputs[0]);
    return CNN_OK;
}

static cnn_status average_forward(const cnn_op_call *call) {
    float count = (float)call->n_inputs;
    cnn_tensor divisor = cnn_tensor_wrap(CNN_FLOAT32, 0, NULL, &count);
    cnn_cast_into(call->output, call->inputs[0]);
    for (int i = 1; i < call->n_inputs; i++)
        cnn_binary_into(call->output, CNN_ADD, call->output, call->inputs[i]);
    cnn_binary_into(call->output, CNN_DIV, call->output, &divisor);
    return CNN_OK;
}

static cnn_status average_backward(const cnn_op_call *call) {
    float count = (float)call->n_inputs;
    cnn_tensor divisor = cnn_tensor_wrap(CNN_FLOAT32, 0, NULL, &count);
    for (int i = 0; i < call->n_inputs; i++)
        if (call->grad_inputs[i]) cnn_binary_into(call->grad_inputs[i], CNN_DIV, call->grad_output, &divisor);
    return CNN_OK;
}

/* clang-format off */
/* The mean of inputs of one shape, element by element. */
const cnn_op cnn_op_average = {
    .class = CNN_CLASS("op", "average", NULL, cnn_plain_op, no_params),
    .min_inputs = 1, .max_inputs = 64, .per_sample = true, .self_parallel = true,
    .infer = average_infer, .forward = average_forward, .backward = average_backward};
/* clang-format on */

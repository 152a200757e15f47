/* Ops of one input that go element by element: activations, simple functions, rescaling.
 *
 * An activation's backward reads its output rather than its input where that tells the derivative, so that a
 * plan may give the input's memory to the output. */
#include "ops/activation.h"
#include "ops/shape.h"
#include "base/status.h"
#include "kernels/kernels.h"

static const cnn_param no_params[] = {{0}};

static cnn_status infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                        cnn_op_info *info) {
    (void)attributes, (void)n_inputs;
    cnn_infer_like(info, inputs[0]);
    return CNN_OK;
}

/* Below 0 the output's sign would not tell the input's. */
static cnn_status infer_parameter(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                                  cnn_op_info *info) {
    const cnn_activation_op *a = attributes;
    if (!(a->parameter >= 0))
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: '%s' must be at least 0, got %g", a->class->name,
                        a->class->params[0].name, a->parameter);
    return infer(attributes, inputs, n_inputs, info);
}

/* ---- activations and functions ------------------------------------------------------------------------- */

/* The kernel's number of an op, by the class that its attributes carry. */
static cnn_activation_kind kind_of(const cnn_activation_op *a) {
    static const cnn_op *const ops[] = {[CNN_ACTIVATION_RELU] = &cnn_op_relu,
                                        [CNN_ACTIVATION_LEAKY_RELU] = &cnn_op_leaky_relu,
                                        [CNN_ACTIVATION_ELU] = &cnn_op_elu,
                                        [CNN_ACTIVATION_SELU] = &cnn_op_selu,
                                        [CNN_ACTIVATION_SIGMOID] = &cnn_op_sigmoid,
                                        [CNN_ACTIVATION_TANH] = &cnn_op_tanh,
                                        [CNN_ACTIVATION_EXP] = &cnn_op_exp,
                                        [CNN_ACTIVATION_SQRT] = &cnn_op_sqrt,
                                        [CNN_ACTIVATION_RELU6] = &cnn_op_relu6,
                                        [CNN_ACTIVATION_HARD_SIGMOID] = &cnn_op_hard_sigmoid,
                                        [CNN_ACTIVATION_SOFTSIGN] = &cnn_op_softsign,
                                        [CNN_ACTIVATION_SOFTPLUS] = &cnn_op_softplus,
                                        [CNN_ACTIVATION_SILU] = &cnn_op_silu,
                                        [CNN_ACTIVATION_GELU] = &cnn_op_gelu,
                                        [CNN_ACTIVATION_SQUARE] = &cnn_op_square,
                                        [CNN_ACTIVATION_LOG] = &cnn_op_log,
                                        [CNN_ACTIVATION_ABS] = &cnn_op_abs};
    int kind = 0;
    while (!ops[kind] || &ops[kind]->class != a->class) kind++;
    return kind == CNN_ACTIVATION_GELU && a->approximate ? CNN_ACTIVATION_GELU_TANH
                                                         : (cnn_activation_kind)kind;
}

static cnn_status forward(const cnn_op_call *call) {
    const cnn_activation_op *a = call->attributes;
    cnn_kernel()->activate(kind_of(a), (float)a->parameter, cnn_f32(call->inputs[0]), cnn_f32(call->output),
                           call->output->size);
    return CNN_OK;
}

static cnn_status backward(const cnn_op_call *call) {
    const cnn_activation_op *a = call->attributes;
    cnn_activation_kind kind = kind_of(a);
    const cnn_tensor *z = kind < CNN_ACTIVATION_SOFTPLUS ? call->output : call->inputs[0];
    if (call->grad_inputs[0])
        cnn_kernel()->activate_grad(kind, (float)a->parameter, cnn_f32(z), cnn_f32(call->grad_output),
                                    cnn_f32(call->grad_inputs[0]), call->grad_output->size);
    return CNN_OK;
}

static const cnn_param leaky_relu_params[] = {CNN_PARAM_NAMED(FLOAT, cnn_activation_op, parameter,
                                                              "negative_slope", "0.2",
                                                              .help = "the slope below 0"),
                                              {0}};

static const cnn_param elu_params[] = {
    CNN_PARAM_NAMED(FLOAT, cnn_activation_op, parameter, "alpha", "1", .help = "minus the limit far below 0"),
    {0}};

static const cnn_param gelu_params[] = {CNN_PARAM(BOOL, cnn_activation_op, approximate, "false",
                                                  .help = "by tanh rather than the error function"),
                                        {0}};

/* The ops differ in name, parameter and in what their derivative is told by: the input or the output. */
#define ELEMENTWISE(name_, aliases_, params_, needs_)                                                        \
    {                                                                                                        \
        .class = CNN_CLASS("op", name_, aliases_, cnn_activation_op, params_), .min_inputs = 1,              \
        .max_inputs = 1, .per_sample = true, .needs = needs_, .infer = infer, .forward = forward,            \
        .backward = backward                                                                                 \
    }

const cnn_op cnn_op_relu = ELEMENTWISE("relu", NULL, no_params, CNN_NEEDS_OUTPUT);

/* x where it is positive, negative_slope·x elsewhere. */
const cnn_op cnn_op_leaky_relu = {
    .class = CNN_CLASS("op", "leaky_relu", NULL, cnn_activation_op, leaky_relu_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .per_sample = true,
    .needs = CNN_NEEDS_OUTPUT,
    .infer = infer_parameter,
    .forward = forward,
    .backward = backward};

/* x where it is positive, alpha·(e^x - 1) elsewhere. */
const cnn_op cnn_op_elu = {.class = CNN_CLASS("op", "elu", NULL, cnn_activation_op, elu_params),
                           .min_inputs = 1,
                           .max_inputs = 1,
                           .per_sample = true,
                           .needs = CNN_NEEDS_OUTPUT,
                           .infer = infer_parameter,
                           .forward = forward,
                           .backward = backward};

/* 1.0507·elu(x) with alpha = 1.6733: activations keep mean 0 and variance 1. */
const cnn_op cnn_op_selu = ELEMENTWISE("selu", NULL, no_params, CNN_NEEDS_OUTPUT);

const cnn_op cnn_op_sigmoid = ELEMENTWISE("sigmoid", NULL, no_params, CNN_NEEDS_OUTPUT);

const cnn_op cnn_op_tanh = ELEMENTWISE("tanh", NULL, no_params, CNN_NEEDS_OUTPUT);

const cnn_op cnn_op_exp = ELEMENTWISE("exp", "exponential", no_params, CNN_NEEDS_OUTPUT);

const cnn_op cnn_op_sqrt = ELEMENTWISE("sqrt", NULL, no_params, CNN_NEEDS_OUTPUT);

const cnn_op cnn_op_relu6 = ELEMENTWISE("relu6", NULL, no_params, CNN_NEEDS_OUTPUT);

/* x/6 + 1/2, clipped to [0, 1]. */
const cnn_op cnn_op_hard_sigmoid = ELEMENTWISE("hard_sigmoid", NULL, no_params, CNN_NEEDS_OUTPUT);

/* x / (1 + |x|). */
const cnn_op cnn_op_softsign = ELEMENTWISE("softsign", NULL, no_params, CNN_NEEDS_OUTPUT);

/* log(1 + e^x). */
const cnn_op cnn_op_softplus = ELEMENTWISE("softplus", NULL, no_params, 1u << 0);

/* x·sigmoid(x). */
const cnn_op cnn_op_silu = ELEMENTWISE("silu", "swish", no_params, 1u << 0);

/* x·Φ(x), Φ being the normal distribution. */
const cnn_op cnn_op_gelu = ELEMENTWISE("gelu", NULL, gelu_params, 1u << 0);

const cnn_op cnn_op_square = ELEMENTWISE("square", NULL, no_params, 1u << 0);

const cnn_op cnn_op_log = ELEMENTWISE("log", NULL, no_params, 1u << 0);

/* |x|; the gradient at 0 is 0. */
const cnn_op cnn_op_abs = ELEMENTWISE("abs", NULL, no_params, 1u << 0);

/* ---- linear ones --------------------------------------------------------------------------------------- */

static cnn_status scaled_grad(const cnn_op_call *call, float scale) {
    if (call->grad_inputs[0])
        cnn_kernel()->affine(scale, 0, cnn_f32(call->grad_output), cnn_f32(call->grad_inputs[0]),
                             call->grad_output->size);
    return CNN_OK;
}

static cnn_status neg_forward(const cnn_op_call *call) {
    cnn_kernel()->affine(-1, 0, cnn_f32(call->inputs[0]), cnn_f32(call->output), call->output->size);
    return CNN_OK;
}

static cnn_status neg_backward(const cnn_op_call *call) {
    return scaled_grad(call, -1);
}

const cnn_op cnn_op_neg = {.class = CNN_CLASS("op", "neg", "negative", cnn_plain_op, no_params),
                           .min_inputs = 1,
                           .max_inputs = 1,
                           .per_sample = true,
                           .infer = infer,
                           .forward = neg_forward,
                           .backward = neg_backward};

static cnn_status rescaling_forward(const cnn_op_call *call) {
    const cnn_rescaling *a = call->attributes;
    const float *x = cnn_f32(call->inputs[0]);
    float *y = cnn_f32(call->output);
    if (call->inputs[0]->dtype != CNN_FLOAT32) {
        cnn_cast_into(call->output, call->inputs[0]);
        x = y;
    }
    cnn_kernel()->affine((float)a->scale, (float)a->offset, x, y, call->output->size);
    return CNN_OK;
}

static cnn_status rescaling_backward(const cnn_op_call *call) {
    return scaled_grad(call, (float)((const cnn_rescaling *)call->attributes)->scale);
}

static const cnn_param rescaling_params[] = {
    CNN_PARAM(FLOAT, cnn_rescaling, scale, NULL, .help = "the factor"),
    CNN_PARAM(FLOAT, cnn_rescaling, offset, "0", .help = "added after scaling"),
    {0}};

/* scale·x + offset as float32; x of any dtype. */
const cnn_op cnn_op_rescaling = {.class = CNN_CLASS("op", "rescaling", NULL, cnn_rescaling, rescaling_params),
                                 .min_inputs = 1,
                                 .max_inputs = 1,
                                 .per_sample = true,
                                 .any_dtype = 1u << 0,
                                 .infer = infer,
                                 .forward = rescaling_forward,
                                 .backward = rescaling_backward};

static cnn_status cast_forward(const cnn_op_call *call) {
    cnn_cast_into(call->output, call->inputs[0]);
    return CNN_OK;
}

static cnn_status cast_backward(const cnn_op_call *call) {
    if (call->grad_inputs[0]) cnn_cast_into(call->grad_inputs[0], call->grad_output);
    return CNN_OK;
}

/* x, of any dtype, as float32. */
const cnn_op cnn_op_cast = {.class = CNN_CLASS("op", "cast", NULL, cnn_plain_op, no_params),
                            .min_inputs = 1,
                            .max_inputs = 1,
                            .per_sample = true,
                            .self_parallel = true,
                            .any_dtype = 1u << 0,
                            .infer = infer,
                            .forward = cast_forward,
                            .backward = cast_backward};

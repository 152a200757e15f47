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

/* ---- activations and functions ---------------------------------------------------------------------------
 */

/* The kernel's number of an op, by the class that its attributes carry. */
static cnn_activation kind_of(const cnn_activation_op *a) {
    static const cnn_op *const ops[] = {[CNN_ACTIVATION_RELU] = &cnn_op_relu,
                                        [CNN_ACTIVATION_LEAKY_RELU] = &cnn_op_leaky_relu,
                                        [CNN_ACTIVATION_ELU] = &cnn_op_elu,
                                        [CNN_ACTIVATION_SELU] = &cnn_op_selu,
                                        [CNN_ACTIVATION_SIGMOID] = &cnn_op_sigmoid,
                                        [CNN_ACTIVATION_TANH] = &cnn_op_tanh,
                                        [CNN_ACTIVATION_EXP] = &cnn_op_exp,
                                        [CNN_ACTIVATION_SQRT] = &cnn_op_sqrt,
                                        [CNN_ACTIVATION_SOFTPLUS] = &cnn_op_softplus,
                                        [CNN_ACTIVATION_SILU] = &cnn_op_silu,
                                        [CNN_ACTIVATION_SQUARE] = &cnn_op_square,
                                        [CNN_ACTIVATION_LOG] = &cnn_op_log,
                                        [CNN_ACTIVATION_ABS] = &cnn_op_abs};
    int kind = 0;
    while (&ops[kind]->class != a->class) kind++;
    return (cnn_activation)kind;
}

static cnn_status forward(const cnn_op_call *call) {
    const cnn_activation_op *a = call->attributes;
    cnn_kernel()->activate(kind_of(a), (float)a->parameter, cnn_f32(call->inputs[0]), cnn_f32(call->output),
                           call->output->size);
    return CNN_OK;
}

static cnn_status backward(const cnn_op_call *call) {
    const cnn_activation_op *a = call->attributes;
    cnn_activation kind = kind_of(a);
    const cnn_tensor *z = kind < CNN_ACTIVATION_SOFTPLUS ? call->output : call->inputs[0];
    if (call->grad_inputs[0])
        cnn_kernel()->activate_grad(kind, (float)a->parameter, cnn_f32(z), cnn_f32(call->grad_output),
                                    cnn_f32(call->grad_inputs[0]), call->grad_output->size);
    return CNN_OK;
}

static const cnn_param leaky_relu_params[] = {{.name = "negative_slope",
                                               .type = CNN_PARAM_FLOAT,
                                               .offset = offsetof(cnn_activation_op, parameter),
                                               .fallback = "0.2",
                                               .help = "the slope below 0"},
                                              {0}};

static const cnn_param elu_params[] = {{.name = "alpha",
                                        .type = CNN_PARAM_FLOAT,
                                        .offset = offsetof(cnn_activation_op, parameter),
                                        .fallback = "1",
                                        .help = "minus the limit far below 0"},
                                       {0}};

const cnn_op cnn_op_relu = {.class = {.kind = "op",
                                      .name = "relu",
                                      .size = sizeof(cnn_activation_op),
                                      .params = no_params,
                                      .help = "max(x, 0), element by element."},
                            .min_inputs = 1,
                            .max_inputs = 1,
                            .per_sample = true,
                            .needs = CNN_NEEDS_OUTPUT,
                            .infer = infer,
                            .forward = forward,
                            .backward = backward};

const cnn_op cnn_op_leaky_relu = {.class = {.kind = "op",
                                            .name = "leaky_relu",
                                            .size = sizeof(cnn_activation_op),
                                            .params = leaky_relu_params,
                                            .help = "x where it is positive, negative_slope·x elsewhere."},
                                  .min_inputs = 1,
                                  .max_inputs = 1,
                                  .per_sample = true,
                                  .needs = CNN_NEEDS_OUTPUT,
                                  .infer = infer_parameter,
                                  .forward = forward,
                                  .backward = backward};

const cnn_op cnn_op_elu = {.class = {.kind = "op",
                                     .name = "elu",
                                     .size = sizeof(cnn_activation_op),
                                     .params = elu_params,
                                     .help = "x where it is positive, alpha·(e^x - 1) elsewhere."},
                           .min_inputs = 1,
                           .max_inputs = 1,
                           .per_sample = true,
                           .needs = CNN_NEEDS_OUTPUT,
                           .infer = infer_parameter,
                           .forward = forward,
                           .backward = backward};

const cnn_op cnn_op_selu = {
    .class = {.kind = "op",
              .name = "selu",
              .size = sizeof(cnn_activation_op),
              .params = no_params,
              .help = "1.0507·elu(x) with alpha = 1.6733: activations keep mean 0 and variance 1."},
    .min_inputs = 1,
    .max_inputs = 1,
    .per_sample = true,
    .needs = CNN_NEEDS_OUTPUT,
    .infer = infer,
    .forward = forward,
    .backward = backward};

const cnn_op cnn_op_sigmoid = {.class = {.kind = "op",
                                         .name = "sigmoid",
                                         .size = sizeof(cnn_activation_op),
                                         .params = no_params,
                                         .help = "1 / (1 + e^-x), element by element."},
                               .min_inputs = 1,
                               .max_inputs = 1,
                               .per_sample = true,
                               .needs = CNN_NEEDS_OUTPUT,
                               .infer = infer,
                               .forward = forward,
                               .backward = backward};

const cnn_op cnn_op_tanh = {.class = {.kind = "op",
                                      .name = "tanh",
                                      .size = sizeof(cnn_activation_op),
                                      .params = no_params,
                                      .help = "The hyperbolic tangent, element by element."},
                            .min_inputs = 1,
                            .max_inputs = 1,
                            .per_sample = true,
                            .needs = CNN_NEEDS_OUTPUT,
                            .infer = infer,
                            .forward = forward,
                            .backward = backward};

const cnn_op cnn_op_exp = {.class = {.kind = "op",
                                     .name = "exp",
                                     .aliases = "exponential",
                                     .size = sizeof(cnn_activation_op),
                                     .params = no_params,
                                     .help = "e^x, element by element."},
                           .min_inputs = 1,
                           .max_inputs = 1,
                           .per_sample = true,
                           .needs = CNN_NEEDS_OUTPUT,
                           .infer = infer,
                           .forward = forward,
                           .backward = backward};

const cnn_op cnn_op_sqrt = {.class = {.kind = "op",
                                      .name = "sqrt",
                                      .size = sizeof(cnn_activation_op),
                                      .params = no_params,
                                      .help = "The square root, element by element."},
                            .min_inputs = 1,
                            .max_inputs = 1,
                            .per_sample = true,
                            .needs = CNN_NEEDS_OUTPUT,
                            .infer = infer,
                            .forward = forward,
                            .backward = backward};

const cnn_op cnn_op_softplus = {.class = {.kind = "op",
                                          .name = "softplus",
                                          .size = sizeof(cnn_activation_op),
                                          .params = no_params,
                                          .help = "log(1 + e^x), element by element."},
                                .min_inputs = 1,
                                .max_inputs = 1,
                                .per_sample = true,
                                .needs = 1u << 0,
                                .infer = infer,
                                .forward = forward,
                                .backward = backward};

const cnn_op cnn_op_silu = {.class = {.kind = "op",
                                      .name = "silu",
                                      .aliases = "swish",
                                      .size = sizeof(cnn_activation_op),
                                      .params = no_params,
                                      .help = "x·sigmoid(x), element by element."},
                            .min_inputs = 1,
                            .max_inputs = 1,
                            .per_sample = true,
                            .needs = 1u << 0,
                            .infer = infer,
                            .forward = forward,
                            .backward = backward};

const cnn_op cnn_op_square = {.class = {.kind = "op",
                                        .name = "square",
                                        .size = sizeof(cnn_activation_op),
                                        .params = no_params,
                                        .help = "x², element by element."},
                              .min_inputs = 1,
                              .max_inputs = 1,
                              .per_sample = true,
                              .needs = 1u << 0,
                              .infer = infer,
                              .forward = forward,
                              .backward = backward};

const cnn_op cnn_op_log = {.class = {.kind = "op",
                                     .name = "log",
                                     .size = sizeof(cnn_activation_op),
                                     .params = no_params,
                                     .help = "The natural logarithm, element by element."},
                           .min_inputs = 1,
                           .max_inputs = 1,
                           .per_sample = true,
                           .needs = 1u << 0,
                           .infer = infer,
                           .forward = forward,
                           .backward = backward};

const cnn_op cnn_op_abs = {.class = {.kind = "op",
                                     .name = "abs",
                                     .size = sizeof(cnn_activation_op),
                                     .params = no_params,
                                     .help = "|x|, element by element; the gradient at 0 is 0."},
                           .min_inputs = 1,
                           .max_inputs = 1,
                           .per_sample = true,
                           .needs = 1u << 0,
                           .infer = infer,
                           .forward = forward,
                           .backward = backward};

/* ---- linear ones -----------------------------------------------------------------------------------------
 */

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

const cnn_op cnn_op_neg = {.class = {.kind = "op",
                                     .name = "neg",
                                     .aliases = "negative",
                                     .size = sizeof(cnn_plain_op),
                                     .params = no_params,
                                     .help = "-x."},
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

static const cnn_param rescaling_params[] = {{.name = "scale",
                                              .type = CNN_PARAM_FLOAT,
                                              .offset = offsetof(cnn_rescaling, scale),
                                              .help = "the factor"},
                                             {.name = "offset",
                                              .type = CNN_PARAM_FLOAT,
                                              .offset = offsetof(cnn_rescaling, offset),
                                              .fallback = "0",
                                              .help = "added after scaling"},
                                             {0}};

const cnn_op cnn_op_rescaling = {.class = {.kind = "op",
                                           .name = "rescaling",
                                           .size = sizeof(cnn_rescaling),
                                           .params = rescaling_params,
                                           .help = "scale·x + offset as float32; x of any dtype."},
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

const cnn_op cnn_op_cast = {.class = {.kind = "op",
                                      .name = "cast",
                                      .size = sizeof(cnn_plain_op),
                                      .params = no_params,
                                      .help = "x, of any dtype, as float32."},
                            .min_inputs = 1,
                            .max_inputs = 1,
                            .per_sample = true,
                            .self_parallel = true,
                            .any_dtype = 1u << 0,
                            .infer = infer,
                            .forward = cast_forward,
                            .backward = cast_backward};

/* All ops. A new one adds its file and a line here. */
#include "ops/activation.h"
#include "ops/arith.h"
#include "ops/augment.h"
#include "ops/conv_kinds.h"
#include "ops/dense.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/noise.h"
#include "ops/norm.h"
#include "ops/piecewise.h"
#include "ops/pool.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "ops/tape_ops.h"
#include "ops/upsample.h"
#include "base/status.h"

const cnn_op *const cnn_ops[] = {&cnn_op_conv2d,
                                 &cnn_op_conv1d,
                                 &cnn_op_depthwise_conv2d,
                                 &cnn_op_conv2d_transpose,
                                 &cnn_op_dense,
                                 &cnn_op_bias_add,
                                 &cnn_op_relu,
                                 &cnn_op_leaky_relu,
                                 &cnn_op_elu,
                                 &cnn_op_selu,
                                 &cnn_op_sigmoid,
                                 &cnn_op_tanh,
                                 &cnn_op_relu6,
                                 &cnn_op_hard_sigmoid,
                                 &cnn_op_softsign,
                                 &cnn_op_softplus,
                                 &cnn_op_gelu,
                                 &cnn_op_silu,
                                 &cnn_op_bounded_relu,
                                 &cnn_op_prelu,
                                 &cnn_op_softmax,
                                 &cnn_op_log_softmax,
                                 &cnn_op_exp,
                                 &cnn_op_log,
                                 &cnn_op_sqrt,
                                 &cnn_op_sin,
                                 &cnn_op_cos,
                                 &cnn_op_log1p,
                                 &cnn_op_square,
                                 &cnn_op_abs,
                                 &cnn_op_neg,
                                 &cnn_op_max_pool2d,
                                 &cnn_op_avg_pool2d,
                                 &cnn_op_global_max_pool2d,
                                 &cnn_op_global_avg_pool2d,
                                 &cnn_op_upsample2d,
                                 &cnn_op_resize,
                                 &cnn_op_random_crop,
                                 &cnn_op_random_flip,
                                 &cnn_op_random_warp,
                                 &cnn_op_random_contrast,
                                 &cnn_op_random_brightness,
                                 &cnn_op_batch_normalization,
                                 &cnn_op_layer_normalization,
                                 &cnn_op_dropout,
                                 &cnn_op_spatial_dropout,
                                 &cnn_op_gaussian_noise,
                                 &cnn_op_gaussian_dropout,
                                 &cnn_op_rescaling,
                                 &cnn_op_cast,
                                 &cnn_op_reshape,
                                 &cnn_op_flatten,
                                 &cnn_op_stop_gradient,
                                 &cnn_op_identity,
                                 &cnn_op_transpose,
                                 &cnn_op_concatenate,
                                 &cnn_op_stack,
                                 &cnn_op_zero_pad2d,
                                 &cnn_op_pad,
                                 &cnn_op_slice,
                                 &cnn_op_gather,
                                 &cnn_op_add,
                                 &cnn_op_subtract,
                                 &cnn_op_multiply,
                                 &cnn_op_divide,
                                 &cnn_op_maximum,
                                 &cnn_op_minimum,
                                 &cnn_op_pow,
                                 &cnn_op_average,
                                 &cnn_op_matmul,
                                 &cnn_op_sum,
                                 &cnn_op_mean,
                                 &cnn_op_max,
                                 &cnn_op_min,
                                 &cnn_op_clip,
                                 &cnn_op_where,
                                 &cnn_op_categorical_crossentropy,
                                 &cnn_op_sparse_categorical_crossentropy,
                                 &cnn_op_binary_crossentropy,
                                 &cnn_op_mean_squared_error,
                                 &cnn_op_mean_absolute_error,
                                 &cnn_op_huber,
                                 NULL};

const cnn_op *const cnn_losses[] = {&cnn_op_categorical_crossentropy,
                                    &cnn_op_sparse_categorical_crossentropy,
                                    &cnn_op_binary_crossentropy,
                                    &cnn_op_mean_squared_error,
                                    &cnn_op_mean_absolute_error,
                                    &cnn_op_huber,
                                    NULL};

enum { OP_COUNT = sizeof cnn_ops / sizeof *cnn_ops };

const char *const *cnn_op_names(void) {
    static const char *names[OP_COUNT];
    for (int i = 0; cnn_ops[i]; i++) names[i] = cnn_ops[i]->class.name;
    return names;
}

cnn_status cnn_op_find(const cnn_op **out, const char *name) {
    const cnn_class *class;
    CNN_TRY(cnn_class_find(&class, (const cnn_class *const *)cnn_ops, name));
    *out = (const cnn_op *)class;
    return CNN_OK;
}

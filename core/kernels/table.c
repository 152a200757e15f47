/* This instruction set's kernels, gathered. */
#include "kernels/kernels.h"
#include "kernels/conv.h"
#include "kernels/nn.h"
#include "kernels/optimizer.h"
#include "kernels/peak.h"

#define CNN_TEXT_(x) #x
#define CNN_TEXT(x) CNN_TEXT_(x)

extern const cnn_kernels CNN_KERNEL(cnn_kernels);
const cnn_kernels CNN_KERNEL(cnn_kernels) = {
    .isa = CNN_TEXT(CNN_ISA),
    .conv_packed_size = CNN_KERNEL(conv_packed_size),
    .conv_pack = CNN_KERNEL(conv_pack),
    .conv_packed_grad_size = CNN_KERNEL(conv_packed_grad_size),
    .conv_pack_grad = CNN_KERNEL(conv_pack_grad),
    .conv_scratch = CNN_KERNEL(conv_scratch),
    .conv_forward = CNN_KERNEL(conv_forward),
    .conv_grad_input = CNN_KERNEL(conv_grad_input),
    .conv_grad_weights = CNN_KERNEL(conv_grad_weights),
    .conv_rows_unit = CNN_KERNEL(conv_rows_unit),
    .conv_grad_rows_apart = CNN_KERNEL(conv_grad_rows_apart),
    .conv_grad_weights_part = CNN_KERNEL(conv_grad_weights_part),
    .conv_unpool = CNN_KERNEL(conv_unpool),
    .product_scratch = CNN_KERNEL(product_scratch),
    .product = CNN_KERNEL(product),
    .transpose = CNN_KERNEL(transpose),
    .peak = CNN_KERNEL(peak),
    .peak_flops_per_round = PEAK_FLOPS_PER_ROUND,
    .activate = CNN_KERNEL(activate),
    .activate_grad = CNN_KERNEL(activate_grad),
    .affine = CNN_KERNEL(affine),
    .bias_relu = CNN_KERNEL(bias_relu),
    .sum_rows = CNN_KERNEL(sum_rows),
    .softmax = CNN_KERNEL(softmax),
    .softmax_grad = CNN_KERNEL(softmax_grad),
    .max_pool = CNN_KERNEL(max_pool),
    .max_pool_grad = CNN_KERNEL(max_pool_grad),
    .avg_pool = CNN_KERNEL(avg_pool),
    .avg_pool_grad = CNN_KERNEL(avg_pool_grad),
    .dropout = CNN_KERNEL(dropout),
    .dropout_grad = CNN_KERNEL(dropout_grad),
    .upsample = CNN_KERNEL(upsample),
    .upsample_grad = CNN_KERNEL(upsample_grad),
    .batch_moments = CNN_KERNEL(batch_moments),
    .batch_sums = CNN_KERNEL(batch_sums),
    .batch_normalize = CNN_KERNEL(batch_normalize),
    .batch_normalize_grad = CNN_KERNEL(batch_normalize_grad),
    .layer_normalize = CNN_KERNEL(layer_normalize),
    .layer_normalize_grad = CNN_KERNEL(layer_normalize_grad),
    .loss_sum = CNN_KERNEL(loss_sum),
    .loss_grad = CNN_KERNEL(loss_grad),
    .crossentropy = CNN_KERNEL(crossentropy),
    .crossentropy_grad = CNN_KERNEL(crossentropy_grad),
    .step_sgd = CNN_KERNEL(step_sgd),
    .step_rmsprop = CNN_KERNEL(step_rmsprop),
    .step_adam = CNN_KERNEL(step_adam),
    .step_adagrad = CNN_KERNEL(step_adagrad),
    .regularize = CNN_KERNEL(regularize),
    .clip = CNN_KERNEL(clip),
    .decay = CNN_KERNEL(decay),
    .sum_squares = CNN_KERNEL(sum_squares),
};

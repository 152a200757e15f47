/* Batch normalization folded into the convolution before it.
 *
 * In inference, by moving statistics, it is a factor and an offset for each channel: s·(conv(x, w) + b - mean) + beta =
 * conv(x, s·w) + s·(b - mean) + beta, with s = gamma / sqrt(variance + epsilon). A plan hands such a convolution the
 * normalization's four vectors as its last inputs; prepare makes the weights and the bias of both, and nothing is left
 * to do for each picture. The convolution's op has no gradient then. */
#ifndef CNN_OPS_CONV_FOLD_H
#define CNN_OPS_CONV_FOLD_H

#include "ops/op.h"

enum { CNN_FOLD_INPUTS = 4 }; /* gamma, beta, moving mean, moving variance */

/* Among a convolution's attributes, set by a plan only. */
typedef struct cnn_conv_fold {
    bool on;
    double epsilon;
} cnn_conv_fold;

/* The inputs that are the convolution's own; and an error if there are more, or fewer, than x, weights and bias. */
int cnn_conv_own_inputs(const cnn_conv_fold *f, int n_inputs);
cnn_status cnn_conv_check_inputs(const char *who, const cnn_conv_fold *f, int n_inputs);

/* Floats of the folded weights and bias, which the op keeps in its prepared memory: the bias first, padded to CNN_ALIGN.
 * `out` is the number of output channels. 0 where nothing is folded. */
size_t cnn_conv_folded_floats(const cnn_conv_fold *f, const cnn_tensor *weights, int out);

/* The bias, NULL if there is none, and, for prepare, the weights of the call; folded ones at `folded`. */
const float *cnn_conv_bias(const cnn_conv_fold *f, const cnn_op_call *call, const float *folded);
const float *cnn_conv_fold_weights(const cnn_conv_fold *f, const cnn_op_call *call, int out, float *folded);

#endif

/* Attributes of the convolution op, for the layers that use it and the plan that fuses into it. */
#ifndef CNN_OPS_CONV_H
#define CNN_OPS_CONV_H

#include "ops/conv_fold.h"

enum { CNN_PADDING_VALID, CNN_PADDING_SAME }; /* positions in "valid same" */

typedef struct cnn_conv2d {
    const cnn_class *class;
    int strides[2];
    int padding;
    int dilation_rate[2];
    int groups;
    /* Fused by a plan: relu on the sums, then max pooling without overlap (1: none). */
    bool relu;
    int pool[2];
    cnn_conv_fold fold;
} cnn_conv2d;

/* inputs x [N,H,W,C], weights [kh,kw,C/groups,K], optionally bias [K]. */
extern const cnn_op cnn_op_conv2d;

/* An error unless all sizes, windows and steps fit an int with room to compute in. x [N,…,C] and weights […,C,K] have
 * `axes` axes between, which strides and dilation_rate are for. */
cnn_status cnn_conv_check_sizes(const char *who, const cnn_tensor *x, const cnn_tensor *weights, int axes,
                                const int *strides, const int *dilation_rate);

/* Cells that a dilated kernel spans along an axis. */
int64_t cnn_window_extent(int64_t kernel, int dilation);

/* TensorFlow's sizes: 'valid' floor((in - window) / stride) + 1, 'same' ceil(in / stride) with the odd cell of padding
 * at the end. window is after dilation. before: the padding at the start. Negative or 0: the window does not fit. */
int64_t cnn_window_output(int64_t in, int window, int stride, int padding, int *before);

#endif

/* Attributes of the convolutions beside conv2d. */
#ifndef CNN_OPS_CONV_KINDS_H
#define CNN_OPS_CONV_KINDS_H

#include "ops/conv.h"

enum { CNN_PADDING_CAUSAL = CNN_PADDING_SAME + 1 }; /* position in "valid same causal" */

/* What a plan without gradients does in the same pass: batch normalization, then relu. */
typedef struct cnn_conv_fused {
    bool relu;
    cnn_conv_fold fold;
} cnn_conv_fused;

typedef struct cnn_conv1d {
    const cnn_class *class;
    int strides, padding, dilation_rate, groups;
    cnn_conv_fused fused;
} cnn_conv1d;

typedef struct cnn_depthwise_conv2d {
    const cnn_class *class;
    int strides[2];
    int padding;
    int dilation_rate[2];
    cnn_conv_fused fused;
} cnn_depthwise_conv2d;

typedef struct cnn_conv2d_transpose {
    const cnn_class *class;
    int strides[2];
    int padding;
    int output_padding[2]; /* INT_MIN: not given */
    int dilation_rate[2];
    bool relu; /* set by a plan without gradients */
} cnn_conv2d_transpose;

/* conv1d: x [N,L,C], weights [k,C/groups,filters], optionally bias [filters].
 * depthwise_conv2d: x [N,H,W,C], weights [kh,kw,C,m], optionally bias [C·m].
 * conv2d_transpose: x [N,H,W,C], weights [kh,kw,filters,C], optionally bias [filters]. */
extern const cnn_op cnn_op_conv1d, cnn_op_depthwise_conv2d, cnn_op_conv2d_transpose;

#endif

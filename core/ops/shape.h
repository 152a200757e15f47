/* Attributes of the ops that rearrange elements, and what infer functions share. */
#ifndef CNN_OPS_SHAPE_H
#define CNN_OPS_SHAPE_H

#include "ops/op.h"

typedef struct cnn_reshape_op {
    const cnn_class *class;
    cnn_shape target_shape; /* one size may be -1 */
    bool keep_batch;        /* target_shape is a sample's; else the whole shape */
} cnn_reshape_op;

typedef struct cnn_transpose_op {
    const cnn_class *class;
    cnn_shape axes; /* rank -1: reversed */
} cnn_transpose_op;

typedef struct cnn_concatenate {
    const cnn_class *class;
    int axis;
} cnn_concatenate;

typedef struct cnn_zero_pad2d {
    const cnn_class *class;
    int top, bottom, left, right;
} cnn_zero_pad2d;

/* For ops without attributes. */
typedef struct cnn_plain_op {
    const cnn_class *class;
} cnn_plain_op;

extern const cnn_op cnn_op_reshape, cnn_op_flatten, cnn_op_stop_gradient, cnn_op_identity, cnn_op_transpose,
    cnn_op_concatenate, cnn_op_zero_pad2d;

/* The output is shaped as this. A scalar has no samples. */
void cnn_infer_like(cnn_op_info *info, const cnn_tensor *a);
/* Elements of one sample: the product of all sizes but the first. */
int64_t cnn_sample_size(const cnn_tensor *a);
/* Product of the sizes from axis `from` on to before `to`. */
int64_t cnn_sizes_product(const cnn_tensor *a, int from, int to);

#endif

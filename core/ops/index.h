/* Attributes of the ops that pick elements by their positions. */
#ifndef CNN_OPS_INDEX_H
#define CNN_OPS_INDEX_H

#include "ops/op.h"

/* As cnn_slice: on axis i from[i], from[i]+step[i], … before to[i]; a `to` of -1 is the end. rank -1: from 0, to the
 * end, by 1. */
typedef struct cnn_slice_op {
    const cnn_class *class;
    cnn_shape from, to, step;
} cnn_slice_op;

typedef struct cnn_gather_op {
    const cnn_class *class;
    int axis;
} cnn_gather_op;

typedef struct cnn_pad_op {
    const cnn_class *class;
    cnn_shape before, after; /* rank -1: none */
    double value;
} cnn_pad_op;

typedef struct cnn_stack_op {
    const cnn_class *class;
    int axis; /* of the result */
} cnn_stack_op;

extern const cnn_op cnn_op_slice, cnn_op_gather, cnn_op_pad, cnn_op_stack;

#endif

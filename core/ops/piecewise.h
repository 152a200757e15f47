/* Attributes of the ops that are straight lines in pieces. */
#ifndef CNN_OPS_PIECEWISE_H
#define CNN_OPS_PIECEWISE_H

#include "ops/op.h"

typedef struct cnn_clip_op {
    const cnn_class *class;
    double low, high; /* NaN: none */
} cnn_clip_op;

typedef struct cnn_bounded_relu {
    const cnn_class *class;
    double max_value; /* NaN: none */
    double negative_slope, threshold;
} cnn_bounded_relu;

/* prelu: inputs x [N,…] and alpha of a sample's shape, with 1 on the axes that share. */
extern const cnn_op cnn_op_clip, cnn_op_bounded_relu, cnn_op_prelu;

#endif

/* Attributes of softmax and its logarithm. */
#ifndef CNN_OPS_SOFTMAX_H
#define CNN_OPS_SOFTMAX_H

#include "ops/op.h"

typedef struct cnn_softmax {
    const cnn_class *class;
    int axis;
} cnn_softmax;

extern const cnn_op cnn_op_softmax, cnn_op_log_softmax;

#endif

/* Attributes of dropout. */
#ifndef CNN_OPS_DROPOUT_H
#define CNN_OPS_DROPOUT_H

#include "ops/op.h"

typedef struct cnn_dropout {
    const cnn_class *class;
    double rate;
    int seed; /* ops of one model want different ones */
} cnn_dropout;

extern const cnn_op cnn_op_dropout;

#endif

/* Attributes of the ops of dense layers. */
#ifndef CNN_OPS_DENSE_H
#define CNN_OPS_DENSE_H

#include "ops/activation.h" /* cnn_op_relu, with which a plan fuses */
#include "ops/op.h"

typedef struct cnn_dense {
    const cnn_class *class;
    bool relu; /* fused by a plan */
} cnn_dense;

/* dense: x [N,…,K], weights [K,M], optionally bias [M]. bias_add: x [N,…,C], bias [C]. */
extern const cnn_op cnn_op_dense, cnn_op_bias_add;

#endif

/* Attributes of the ops that go element by element. */
#ifndef CNN_OPS_ACTIVATION_H
#define CNN_OPS_ACTIVATION_H

#include "ops/op.h"

typedef struct cnn_activation_op {
    const cnn_class *class; /* tells which function it is: must be set, as in every cnn_object */
    double parameter;       /* leaky_relu's negative_slope, elu's alpha; unused by the others */
    bool approximate;       /* gelu: by tanh */
} cnn_activation_op;

typedef struct cnn_rescaling {
    const cnn_class *class;
    double scale, offset;
} cnn_rescaling;

extern const cnn_op cnn_op_relu, cnn_op_leaky_relu, cnn_op_elu, cnn_op_selu, cnn_op_sigmoid, cnn_op_tanh,
    cnn_op_exp, cnn_op_sqrt, cnn_op_relu6, cnn_op_hard_sigmoid, cnn_op_softsign, cnn_op_softplus, cnn_op_gelu,
    cnn_op_silu, cnn_op_square, cnn_op_log, cnn_op_abs, cnn_op_neg, cnn_op_rescaling, cnn_op_cast;

#endif

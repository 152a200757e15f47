/* Functions of one input that scripts use and layers do not: sin, cos, log1p. Their attributes are cnn_plain_op's. */
#ifndef CNN_OPS_TAPE_OPS_H
#define CNN_OPS_TAPE_OPS_H

#include "ops/op.h"

extern const cnn_op cnn_op_sin, cnn_op_cos, cnn_op_log1p;

#endif

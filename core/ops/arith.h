/* Attributes of arithmetic and reductions. Binary arithmetic, average and matmul have none (cnn_plain_op). */
#ifndef CNN_OPS_ARITH_H
#define CNN_OPS_ARITH_H

#include "ops/op.h"

typedef struct cnn_reduction {
    const cnn_class *class;
    cnn_shape axis; /* rank -1: all */
    bool keepdims;
} cnn_reduction;

/* The reduced axes as a bit mask; and infer, for all reductions. */
cnn_status cnn_reduction_axes(unsigned *axes, const cnn_reduction *a, int rank);
cnn_status cnn_reduction_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                               cnn_op_info *info);

extern const cnn_op cnn_op_add, cnn_op_subtract, cnn_op_multiply, cnn_op_divide, cnn_op_maximum,
    cnn_op_minimum, cnn_op_pow, cnn_op_average, cnn_op_matmul, cnn_op_sum, cnn_op_mean, cnn_op_max,
    cnn_op_min, cnn_op_where;

#endif

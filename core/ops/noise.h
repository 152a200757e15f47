/* Attributes of the noises. spatial_dropout takes those of dropout. */
#ifndef CNN_OPS_NOISE_H
#define CNN_OPS_NOISE_H

#include "ops/dropout.h"

typedef struct cnn_noise {
    const cnn_class *class;
    double stddev;
    int seed;
} cnn_noise;

extern const cnn_op cnn_op_gaussian_noise, cnn_op_gaussian_dropout, cnn_op_spatial_dropout;

#endif

/* Convolution and correlation of arrays, as signal processing has them: with flipping, and zeros beyond the edges. */
#ifndef CNN_TENSOR_SIGNAL_H
#define CNN_TENSOR_SIGNAL_H

#include "tensor/tensor.h"

typedef enum cnn_signal_mode { CNN_SIGNAL_FULL, CNN_SIGNAL_SAME, CNN_SIGNAL_VALID } cnn_signal_mode;

/* 1-D: numpy.convolve and numpy.correlate ("same" is as long as the longer array). 2-D: scipy.signal.convolve2d and
 * correlate2d ("same" is shaped as the first). Of integers int32, exact (saturated), else float32; sums are made in
 * double precision. */
cnn_status cnn_signal_convolve(cnn_tensor **out, const cnn_tensor *a, const cnn_tensor *b,
                               cnn_signal_mode mode);
cnn_status cnn_signal_correlate(cnn_tensor **out, const cnn_tensor *a, const cnn_tensor *b,
                                cnn_signal_mode mode);

#endif

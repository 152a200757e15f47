/* What an affine warp of a picture is, for its kernels and their callers. */
#ifndef CNN_KERNELS_WARP_H
#define CNN_KERNELS_WARP_H

#include "cnn.h"

/* Pictures are [height,width,channels]; all sizes are at least 1 and at most 2^24. Methods but CNN_NEAREST count as
 * CNN_BILINEAR. at is of any numbers; where they lead to none, anything inside the picture or the fill is seen. */
typedef struct cnn_warp {
    int64_t in_height, in_width, out_height, out_width, channels;
    cnn_affine at;
    cnn_warp_options options;
} cnn_warp;

#endif

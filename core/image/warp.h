/* Affine warps of one picture, and the algebra of their transforms.
 *
 * Each pixel of the output is seen at a point of the input (cnn_affine in cnn.h); the input is thought to go on
 * for ever by the fill rule, and that endless picture is sampled: at the nearest pixel, or bilinearly between the
 * four around the point. So a constant blends into the border over one pixel, and wrap has the period of the
 * picture's size, as tf.raw_ops.ImageProjectiveTransformV3 has it for constant, and scipy.ndimage for its modes
 * grid-constant, nearest, reflect and grid-wrap. Transforms that lead from pixels to pixels, to within 2^-25 of one
 * - flips, quarter turns, whole shifts - give copies. All instruction sets give the same bits. */
#ifndef CNN_IMAGE_WARP_H
#define CNN_IMAGE_WARP_H

#include "kernels/warp.h"

/* One picture, by the calling thread alone, without memory but the two pictures'; bytes are rounded. */
void cnn_warp_picture(const cnn_warp *warp, const float *in, float *out);
void cnn_warp_picture_u8(const cnn_warp *warp, const uint8_t *in, uint8_t *out);
/* The transposed sampling: what a gradient of the output is one of the input; grad_in is overwritten. */
void cnn_warp_picture_grad(const cnn_warp *warp, const float *grad_out, float *grad_in);

/* Transforms lead from the output to the input, but are named after what is seen to happen to the picture: shifted
 * to the right and down, turned counter-clockwise, made larger (mirrored by factors below 0). They turn, shear and
 * scale about the centre of pixel (0, 0); cnn_affine_centred moves that to the middle of a picture, ((width-1)/2,
 * (height-1)/2). */
cnn_affine cnn_affine_identity(void);
cnn_affine cnn_affine_translation(double right, double down);
cnn_affine cnn_affine_rotation(double radians);
/* input (x, y) = (x + along_x·y, y + along_y·x). */
cnn_affine cnn_affine_shear(double along_x, double along_y);
cnn_affine cnn_affine_scale(double wider, double higher);
/* The picture warped by first and the result by second, in one: input point = first(second(output pixel)). */
cnn_affine cnn_affine_compose(cnn_affine first, cnn_affine second);
cnn_affine cnn_affine_centred(cnn_affine at, int64_t height, int64_t width);

#endif

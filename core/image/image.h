/* Pictures as tensors: what the files of this folder share.
 *
 * A picture is uint8 (0 to 255) or float32 (0 to 1 where brightness matters), [H,W] or [H,W,C]; several of one
 * size are [N,H,W,C]. Every picture the functions here take or give has at least one pixel. */
#ifndef CNN_IMAGE_IMAGE_H
#define CNN_IMAGE_IMAGE_H

#include "cnn.h"

/* The sizes of a tensor of pictures; count is 1 unless it has four axes, channels 1 if it has two. */
typedef struct cnn_pictures {
    int64_t count, height, width, channels;
} cnn_pictures;

/* An error in the name of who unless the tensor holds pictures. */
cnn_status cnn_pictures_of(cnn_pictures *out, const char *who, const cnn_tensor *images);

/* No file is read, written or decoded to more bytes than this. */
enum { CNN_IMAGE_MAX_BYTES = 1 << 30, CNN_IMAGE_MAX_SIDE = 1 << 24 };

/* What becomes of a picture whose sides are not in proportion to the size asked for, as in Keras: stretched; only its
 * centre part of the right proportion taken (crop_to_aspect_ratio); or laid whole in the middle of a black one of the
 * right proportion (pad_to_aspect_ratio). */
typedef enum cnn_aspect { CNN_ASPECT_STRETCH, CNN_ASPECT_CROP, CNN_ASPECT_PAD } cnn_aspect;

/* As cnn_image_resize, which stretches. */
cnn_status cnn_image_fit(cnn_tensor **out, const cnn_tensor *images, int64_t height, int64_t width,
                         cnn_interpolation method, bool antialias, cnn_aspect aspect);

/* Into out, which has the size to be reached, the same count and channels, and either dtype. */
cnn_status cnn_image_fit_into(cnn_tensor *out, const cnn_tensor *images, cnn_interpolation method,
                              bool antialias, cnn_aspect aspect);
cnn_status cnn_image_check_size(const char *who, int64_t height, int64_t width);

/* float32 [height,width,channels], 0 to 255, of a picture file: cnn_image_load and cnn_image_fit in one, with nothing
 * rounded between. channels as in cnn_image_load. */
cnn_status cnn_image_load_resized(cnn_tensor **out, const char *path, int channels, int64_t height,
                                  int64_t width, cnn_interpolation method, cnn_aspect aspect);

/* Files already in memory; path is for messages. channels as in cnn_image_load. */
cnn_status cnn_image_decode(cnn_tensor **out, const char *path, const uint8_t *bytes, size_t size,
                            int channels);
/* The same for what begins with FF D8. */
cnn_status cnn_jpeg_decode(cnn_tensor **out, const char *path, const uint8_t *bytes, size_t size,
                           int channels);
/* The same for what begins with P2, P3, P5 or P6; out gets the channels of the file. */
cnn_status cnn_pnm_decode(cnn_tensor **out, const char *path, const uint8_t *bytes, size_t size);

/* An error unless a file's picture has pixels, and no more of them than are read. */
cnn_status cnn_image_check_pixels(const char *path, int64_t width, int64_t height);

/* After the last use of what a function of stb returned: frees all memory it holds in this thread, and tells
 * whether it was refused some, which stb itself says in many ways or not at all. */
bool cnn_stb_end(void);

/* The channels of rows of pixels, converted; from and to are 1 to 4 (grey, grey and alpha, RGB, RGBA). */
void cnn_image_convert(uint8_t *out, int to, const uint8_t *in, int from, int64_t pixels);

#endif

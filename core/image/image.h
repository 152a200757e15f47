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

/* Files already in memory; path is for messages. channels as in cnn_image_load. */
cnn_status cnn_image_decode(cnn_tensor **out, const char *path, const uint8_t *bytes, size_t size,
                            int channels);
/* The same for what begins with P2, P3, P5 or P6; out gets the channels of the file. */
cnn_status cnn_pnm_decode(cnn_tensor **out, const char *path, const uint8_t *bytes, size_t size);

/* After the last use of what a function of stb returned: frees all memory it holds in this thread, and tells
 * whether it was refused some, which stb itself says in many ways or not at all. */
bool cnn_stb_end(void);

/* The channels of rows of pixels, converted; from and to are 1 to 4 (grey, grey and alpha, RGB, RGBA). */
void cnn_image_convert(uint8_t *out, int to, const uint8_t *in, int from, int64_t pixels);

#endif

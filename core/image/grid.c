/* Many pictures in one: of a batch, of the channels of a layer's output, of a convolution's kernels. Each is
 * first brought to tiles [n,h,w,c], c being 1, 3 or 4, which are then laid out in rows and columns. */
#include "base/status.h"
#include "base/text.h"
#include "image/image.h"
#include "tensor/tensor.h"

#include <math.h>
#include <string.h>

static const char who[] = "image.grid";

/* a with its axes in another order, under the shape of four axes that follows. */
static cnn_status rearrange(cnn_tensor **out, const cnn_tensor *a, const int *axes, int64_t n, int64_t h,
                            int64_t w, int64_t c) {
    cnn_tensor *moved;
    CNN_TRY(cnn_transpose(&moved, a, axes));
    cnn_status status = cnn_reshape(out, moved, 4, (int64_t[]){n, h, w, c});
    cnn_tensor_release(moved);
    return status;
}

/* [H,W,K] or [N,H,W,K]: a grey tile for each channel. */
static cnn_status map_tiles(cnn_tensor **out, const cnn_tensor *maps, const cnn_pictures *p,
                            int64_t *columns) {
    static const int of_one[] = {2, 0, 1}, of_many[] = {0, 3, 1, 2};
    if (p->count > 1 && *columns == 0) *columns = p->channels;
    return rearrange(out, maps, maps->rank == 3 ? of_one : of_many, p->count * p->channels, p->height,
                     p->width, 1);
}

/* [kh,kw,C,K]: K tiles in colour if C is 3; else a row of C grey ones for each of the K. */
static cnn_status kernel_tiles(cnn_tensor **out, const cnn_tensor *kernels, int64_t *columns) {
    static const int in_color[] = {3, 0, 1, 2}, in_grey[] = {3, 2, 0, 1};
    const int64_t *s = kernels->shape;
    if (kernels->rank != 4)
        return cnn_fail(CNN_ERROR_SHAPE, "%s: kernels are [height,width,in,out], got %d axes", who,
                        kernels->rank);
    if (s[2] == 3) return rearrange(out, kernels, in_color, s[3], s[0], s[1], 3);
    if (*columns == 0 && s[2] > 1) *columns = s[2];
    return rearrange(out, kernels, in_grey, s[3] * s[2], s[0], s[1], 1);
}

static cnn_status make_tiles(cnn_tensor **out, const cnn_tensor *images, cnn_grid_kind kind, int64_t *columns,
                             bool *stretch) {
    cnn_pictures p;
    CNN_TRY(cnn_pictures_of(&p, who, images));
    bool color = p.channels == 1 || p.channels == 3 || p.channels == 4;
    if (kind == CNN_GRID_AUTO) kind = images->rank == 4 && color ? CNN_GRID_PICTURES : CNN_GRID_MAPS;
    if (images->rank < 3)
        return cnn_fail(CNN_ERROR_SHAPE, "%s: expected [N,H,W,C] or [H,W,K], got one picture of two axes",
                        who);
    *stretch = kind != CNN_GRID_PICTURES;
    if (kind == CNN_GRID_MAPS) return map_tiles(out, images, &p, columns);
    if (kind == CNN_GRID_KERNELS) return kernel_tiles(out, images, columns);
    if (images->rank != 4 || !color) {
        char text[CNN_SHAPE_TEXT];
        return cnn_fail(CNN_ERROR_SHAPE, "%s: pictures are [N,H,W,C] of 1, 3 or 4 channels, got the shape %s",
                        who, cnn_shape_text(text, sizeof text, images->rank, images->shape));
    }
    return cnn_copy(out, images);
}

/* Replaces *tiles by what a function made of it, also when that failed. */
static cnn_status replace(cnn_tensor **tiles, cnn_status status, cnn_tensor *made) {
    if (status != CNN_OK) return status;
    cnn_tensor_release(*tiles);
    *tiles = made;
    return CNN_OK;
}

static cnn_status prepare(cnn_tensor **tiles, int64_t zoom, bool stretch) {
    cnn_tensor *made = NULL;
    if (stretch) {
        cnn_status status = cnn_image_normalize(&made, *tiles, false);
        CNN_TRY(replace(tiles, status, made));
    }
    if (zoom == 1) return CNN_OK;
    cnn_status status = cnn_image_resize(&made, *tiles, (*tiles)->shape[1] * zoom, (*tiles)->shape[2] * zoom,
                                         CNN_NEAREST, false);
    return replace(tiles, status, made);
}

/* White is 255 or 1; alpha, where there is one, is full. */
static void fill_background(cnn_tensor *sheet, double background) {
    bool bytes = sheet->dtype == CNN_UINT8;
    double white = bytes ? 255 : 1;
    cnn_fill_into(sheet, background * white);
    if (sheet->shape[2] < 4) return;
    for (int64_t i = 3; i < sheet->size; i += 4) {
        if (bytes)
            cnn_u8(sheet)[i] = 255;
        else
            cnn_f32(sheet)[i] = 1;
    }
}

static cnn_status lay_out(cnn_tensor **out, const cnn_tensor *tiles, int64_t columns, int64_t padding,
                          double background) {
    const int64_t *s = tiles->shape;
    int64_t rows = (s[0] + columns - 1) / columns;
    int64_t shape[] = {rows * (s[1] + padding) + padding, columns * (s[2] + padding) + padding, s[3]};
    if (shape[0] > CNN_IMAGE_MAX_SIDE || shape[1] > CNN_IMAGE_MAX_SIDE)
        return cnn_fail(CNN_ERROR_SHAPE, "%s: the picture would have %lld×%lld pixels, too many", who,
                        (long long)shape[1], (long long)shape[0]);
    cnn_tensor *sheet;
    CNN_TRY(cnn_tensor_alloc_for(who, &sheet, tiles->dtype, 3, shape));
    fill_background(sheet, background);
    size_t pixel = (size_t)s[3] * cnn_dtype_size(tiles->dtype), line = (size_t)s[2] * pixel;
    for (int64_t n = 0; n < s[0]; n++) {
        int64_t top = padding + n / columns * (s[1] + padding),
                left = padding + n % columns * (s[2] + padding);
        for (int64_t y = 0; y < s[1]; y++)
            memcpy((char *)sheet->data + (size_t)((top + y) * shape[1] + left) * pixel,
                   (const char *)tiles->data + (size_t)(n * s[1] + y) * line, line);
    }
    *out = sheet;
    return CNN_OK;
}

cnn_status cnn_image_grid(cnn_tensor **out, const cnn_tensor *images, const cnn_grid_options *options) {
    int64_t columns = options->columns, padding = options->padding, zoom = options->zoom ? options->zoom : 1;
    if (columns < 0 || padding < 0 || zoom < 0 || columns > CNN_IMAGE_MAX_SIDE || padding > 4096 ||
        zoom > 4096)
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "%s: 'columns' must be at least 1, 'padding' 0 to 4096, 'zoom' 1 to 4096", who);
    if (!(options->background >= 0 && options->background <= 1))
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: 'background' must be from 0 (black) to 1 (white), got %g",
                        who, options->background);
    cnn_tensor *tiles;
    bool stretch = false;
    CNN_TRY(make_tiles(&tiles, images, options->kind, &columns, &stretch));
    if (options->normalize) stretch = options->normalize > 0;
    if (columns == 0) columns = (int64_t)ceil(sqrt((double)tiles->shape[0]));
    if (columns > tiles->shape[0]) columns = tiles->shape[0];
    cnn_status status = prepare(&tiles, zoom, stretch);
    if (status == CNN_OK) status = lay_out(out, tiles, columns, padding, options->background);
    cnn_tensor_release(tiles);
    return status;
}

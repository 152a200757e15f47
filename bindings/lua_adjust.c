/* cnn.image, second part: pictures turned, moved, mirrored, cut, made brighter, by amounts that are given; cnn.augment
 * does the same by random ones. */
#include "lua_cnn.h"
#include "base/status.h"
#include "image/warp.h"

#include <math.h>

/* ---- arguments ----------------------------------------------------------------------------------------- */

/* The finite number at index, or fallback if it is nil; NaN as fallback: it must be given. */
static double number(lua_State *L, int index, const char *who, const char *name, double fallback) {
    if (lua_isnil(L, index) && !isnan(fallback)) return fallback;
    double value = lua_isnil(L, index) ? NAN : lcnn_check_number(L, index, who, name);
    if (!isfinite(value))
        lcnn_fail(L, "%s: '%s' must be a finite number, got %s", who, name, lcnn_describe(L, index));
    return value;
}

/* The position of the word at index in choices, separated by spaces. */
static int choice(lua_State *L, int index, const char *who, const char *name, const char *choices,
                  int fallback) {
    if (lua_isnil(L, index)) return fallback;
    int position = lua_type(L, index) == LUA_TSTRING ? cnn_choice_find(choices, lua_tostring(L, index)) : -1;
    if (position < 0)
        lcnn_fail(L, "%s: '%s' must be one of %s, got %s", who, name, choices, lcnn_describe(L, index));
    return position;
}

/* The integer at index, of at least low, or fallback if it is nil; -1 as fallback: it must be given. */
static int64_t whole(lua_State *L, int index, const char *who, const char *name, int64_t low,
                     int64_t fallback) {
    if (lua_isnil(L, index) && fallback >= 0) return fallback;
    int is_whole = 0;
    int64_t value = lua_type(L, index) == LUA_TNUMBER ? lua_tointegerx(L, index, &is_whole) : 0;
    if (!is_whole || value < low)
        lcnn_fail(L, "%s: '%s' must be an integer of at least %I, got %s", who, name, (LUAI_UACINT)low,
                  lcnn_describe(L, index));
    return value;
}

/* Pictures at index: a tensor of 2 to 4 axes or what makes one. */
static cnn_tensor *check_images(lua_State *L, int index, const char *who) {
    if (lua_isnil(L, index)) lcnn_fail(L, "%s: 'images' is missing", who);
    cnn_tensor *images = lcnn_to_tensor(L, index);
    if (!images->data) lcnn_fail(L, "%s: a symbolic tensor has no elements yet", who);
    if (images->rank < 2 || images->rank > 4)
        lcnn_fail(L, "%s: 'images' must be [H,W], [H,W,C] or [N,H,W,C], got a tensor of rank %d", who,
                  images->rank);
    return images;
}

/* The same, of a dtype that pictures have. */
static cnn_tensor *check_pictures(lua_State *L, int index, const char *who) {
    cnn_tensor *images = check_images(L, index, who);
    if (images->dtype != CNN_UINT8 && images->dtype != CNN_FLOAT32)
        lcnn_fail(L, "%s: 'images' must be uint8 or float32, got %s", who, cnn_dtype_name(images->dtype));
    return images;
}

/* The axis of rows; that of columns is the next. */
static int row_axis(const cnn_tensor *images) {
    return images->rank == 4;
}

/* ---- warps --------------------------------------------------------------------------------------------- */

#define FILL_NAMES "fill_mode", "fill_value", "interpolation"

/* fill_mode, fill_value and interpolation at index and after it. */
static cnn_warp_options warp_options(lua_State *L, int index, const char *who) {
    int fill = choice(L, index, who, "fill_mode", "constant nearest reflect wrap", CNN_FILL_NEAREST);
    int method = choice(L, index + 2, who, "interpolation", "nearest bilinear", CNN_BILINEAR);
    return (cnn_warp_options){.fill = (cnn_fill)fill,
                              .method = (cnn_interpolation)method,
                              .value = number(L, index + 1, who, "fill_value", 0)};
}

static int push_warped(lua_State *L, const cnn_tensor *images, const cnn_affine *at, int64_t height,
                       int64_t width, const cnn_warp_options *options) {
    cnn_tensor *out;
    return lcnn_push_result(L, cnn_image_warp(&out, images, at, 1, height, width, options), &out);
}

enum { ROTATE, SHIFT, SHEAR, ZOOM };

/* What these have in common: one amount or two, and what is seen beyond the border. */
static const struct {
    const char *who;
    int amounts;
    const char *names[8];
} warps[] = {
    [ROTATE] = {"image.rotate", 1, {"images", "degrees", FILL_NAMES}},
    [SHIFT] = {"image.shift", 2, {"images", "height", "width", FILL_NAMES}},
    [SHEAR] = {"image.shear", 1, {"images", "degrees", FILL_NAMES}},
    [ZOOM] = {"image.zoom", 2, {"images", "height", "width", FILL_NAMES}},
};

static cnn_affine affine_of(int kind, double height, double width) {
    const double radians = 3.14159265358979323846 / 180;
    switch (kind) {
    case ROTATE:
        return cnn_affine_rotation(height * radians);
    case SHIFT:
        return cnn_affine_translation(width, height);
    case SHEAR:
        return cnn_affine_shear(tan(height * radians), 0);
    default:
        return cnn_affine_scale(width, height);
    }
}

/*** Turns pictures counter-clockwise about their middle, by an angle that is given.
cnn.augment.rotate turns by random ones.
@function cnn.image.rotate
@tparam tensor images [H,W], [H,W,C] or [N,H,W,C], uint8 or float32
@tparam number degrees
@tparam[opt="nearest"] string fill_mode what is seen beyond the border: "nearest" (the last pixel), "reflect"
(dcba|abcd|dcba), "wrap" (abcd|abcd|abcd) or "constant"
@tparam[opt=0] number fill_value of "constant"
@tparam[opt="bilinear"] string interpolation or "nearest"
@treturn tensor of the same shape and dtype
@raise another dtype or rank
@usage
x = cnn.tensor{{1, 2}, {3, 4}}
cnn.image.rotate(x, 90)
--> float32 (2, 2)
--> [[2. 4.]
-->  [1. 3.]]
cnn.image.rotate(cnn.zeros{8, 8, 3}, 10):shape()  --> {8, 8, 3}
*/
/*** Moves pictures down and to the right, by pixels or fractions of one.
@function cnn.image.shift
@tparam tensor images [H,W], [H,W,C] or [N,H,W,C], uint8 or float32
@tparam number height pixels downwards; negative: upwards
@tparam[opt=0] number width pixels to the right; negative: to the left
@tparam[opt="nearest"] string fill_mode what is seen beyond the border, as of rotate
@tparam[opt=0] number fill_value of "constant"
@tparam[opt="bilinear"] string interpolation or "nearest"
@treturn tensor of the same shape and dtype
@usage
cnn.image.shift{cnn.tensor{{1, 2, 3}}, 0, 1, fill_mode = "constant"}:tolist()  --> {{0.0, 1.0, 2.0}}
cnn.image.shift{cnn.tensor{{1, 2, 3}}, 0, 1}:tolist()  --> {{1.0, 1.0, 2.0}}
*/
/*** Slants pictures about their middle: upright lines lean by an angle.
@function cnn.image.shear
@tparam tensor images [H,W], [H,W,C] or [N,H,W,C], uint8 or float32
@tparam number degrees between -90 and 90; positive: the top moves to the right
@tparam[opt="nearest"] string fill_mode what is seen beyond the border, as of rotate
@tparam[opt=0] number fill_value of "constant"
@tparam[opt="bilinear"] string interpolation or "nearest"
@treturn tensor of the same shape and dtype
@usage
x = cnn.tensor{{0, 1, 0}, {0, 1, 0}, {0, 1, 0}}
cnn.image.shear{x, 45, interpolation = "nearest"}
--> float32 (3, 3)
--> [[0. 0. 1.]
-->  [0. 1. 0.]
-->  [1. 0. 0.]]
*/
/*** Enlarges what is seen in pictures about their middle, in the same size.
@function cnn.image.zoom
@tparam tensor images [H,W], [H,W,C] or [N,H,W,C], uint8 or float32
@tparam number height factor: above 1 things get larger, below 1 smaller
@tparam[opt] number width factor; default: that of the height
@tparam[opt="nearest"] string fill_mode what is seen beyond the border, as of rotate
@tparam[opt=0] number fill_value of "constant"
@tparam[opt="bilinear"] string interpolation or "nearest"
@treturn tensor of the same shape and dtype
@raise factors of 0 or below
@usage
x = cnn.tensor{{1, 2, 3, 4}}
cnn.image.zoom(x, 2):tolist()        --> {{1.75, 2.25, 2.75, 3.25}}
cnn.image.zoom(x, 0)                 --> error: image.zoom: factors must be above 0
*/
static int warp(lua_State *L) {
    int kind = lcnn_upvalue_op(L), amounts = warps[kind].amounts;
    const char *who = warps[kind].who, *const *names = warps[kind].names;
    lcnn_args(L, 1, who, names);
    double height = number(L, 2, who, names[1], NAN), width = kind == ZOOM ? height : 0;
    if (amounts == 2) width = number(L, 3, who, names[2], width);
    if (kind == ZOOM && !(height > 0 && width > 0)) lcnn_fail(L, "%s: factors must be above 0", who);
    if (kind == SHEAR && !(fabs(height) < 90))
        lcnn_fail(L, "%s: 'degrees' must be between -90 and 90, got %f", who, height);
    cnn_warp_options options = warp_options(L, 2 + amounts, who);
    const cnn_tensor *images = check_pictures(L, 1, who);
    const int64_t *size = images->shape + row_axis(images);
    cnn_affine at = cnn_affine_centred(affine_of(kind, height, width), size[0], size[1]);
    return push_warped(L, images, &at, 0, 0, &options);
}

/* Row and column count from 1. In double, so that what lands on a pixel does. */
static double matrix_number(lua_State *L, int matrix, int row, int column) {
    int type = LUA_TNIL;
    if (lua_type(L, matrix) == LUA_TTABLE && lua_rawgeti(L, matrix, row) == LUA_TTABLE)
        type = lua_rawgeti(L, -1, column);
    double value = type == LUA_TNUMBER ? lua_tonumber(L, -1) : NAN;
    if (!isfinite(value))
        lcnn_fail(L, "image.affine: 'matrix' must be two tables of three finite numbers, got %s",
                  type == LUA_TNIL ? lcnn_describe(L, matrix) : lcnn_describe(L, -1));
    lua_pop(L, 2);
    return value;
}

/*** Samples pictures through an affine transform {{xx, xy, x0}, {yx, yy, y0}}.
At column x and row y of the result is seen column xx·x + xy·y + x0 and row yx·x + yy·y + y0 of the picture, where
the middle of the first pixel is (0, 0).
@function cnn.image.affine
@tparam tensor images [H,W], [H,W,C] or [N,H,W,C], uint8 or float32
@tparam table matrix two tables of three numbers
@tparam[opt] int height of the result; default: the pictures'
@tparam[opt] int width of the result; default: the pictures'
@tparam[opt="nearest"] string fill_mode what is seen beyond the border, as of rotate
@tparam[opt=0] number fill_value of "constant"
@tparam[opt="bilinear"] string interpolation or "nearest"
@treturn tensor of the same dtype
@raise a matrix of another form
@usage
x = cnn.tensor{{1, 2}, {3, 4}}
cnn.image.affine(x, {{0, 1, 0}, {1, 0, 0}})
--> float32 (2, 2)
--> [[1. 3.]
-->  [2. 4.]]
*/
static int affine(lua_State *L) {
    static const char who[] = "image.affine";
    lcnn_args(L, 1, who, (const char *const[]){"images", "matrix", "height", "width", FILL_NAMES, NULL});
    double at[6];
    for (int i = 0; i < 6; i++) at[i] = matrix_number(L, 2, i / 3 + 1, i % 3 + 1);
    cnn_affine transform = {.xx = at[0], .xy = at[1], .x0 = at[2], .yx = at[3], .yy = at[4], .y0 = at[5]};
    int64_t height = whole(L, 3, who, "height", 1, 0), width = whole(L, 4, who, "width", 1, 0);
    cnn_warp_options options = warp_options(L, 5, who);
    const cnn_tensor *images = check_pictures(L, 1, who);
    const int64_t *size = images->shape + row_axis(images);
    return push_warped(L, images, &transform, height ? height : size[0], width ? width : size[1], &options);
}

/* ---- mirrored, cut ------------------------------------------------------------------------------------- */

enum { HORIZONTAL, VERTICAL };

static int push_flipped(lua_State *L, const char *who, int mode) {
    const cnn_tensor *images = check_pictures(L, 1, who);
    const int64_t *size = images->shape + row_axis(images);
    cnn_affine at = cnn_affine_scale(mode == VERTICAL ? 1 : -1, mode == HORIZONTAL ? 1 : -1);
    at = cnn_affine_centred(at, size[0], size[1]);
    return push_warped(L, images, &at, 0, 0,
                       &(cnn_warp_options){.method = CNN_NEAREST, .fill = CNN_FILL_NEAREST});
}

/*** Mirrors pictures.
@function cnn.image.flip
@tparam tensor images [H,W], [H,W,C] or [N,H,W,C], uint8 or float32
@tparam[opt="horizontal"] string mode "horizontal": left becomes right; "vertical": top becomes bottom; or
"horizontal_and_vertical"
@treturn tensor of the same shape and dtype
@raise another mode
@usage
x = cnn.tensor{{1, 2}, {3, 4}}
cnn.image.flip(x):tolist()           --> {{2.0, 1.0}, {4.0, 3.0}}
cnn.image.flip(x, "vertical"):tolist()  --> {{3.0, 4.0}, {1.0, 2.0}}
*/
static int flip(lua_State *L) {
    lcnn_args(L, 1, "image.flip", (const char *const[]){"images", "mode", NULL});
    return push_flipped(
        L, "image.flip",
        choice(L, 2, "image.flip", "mode", "horizontal vertical horizontal_and_vertical", HORIZONTAL));
}

/*** Mirrors pictures: left becomes right, as in tf.image.
@function cnn.image.flip_left_right
@tparam tensor images [H,W], [H,W,C] or [N,H,W,C], uint8 or float32
@treturn tensor of the same shape and dtype
@usage
cnn.image.flip_left_right(cnn.tensor{{1, 2}, {3, 4}}):tolist()  --> {{2.0, 1.0}, {4.0, 3.0}}
*/
/*** Turns pictures upside down, top becoming bottom, as in tf.image.
@function cnn.image.flip_up_down
@tparam tensor images [H,W], [H,W,C] or [N,H,W,C], uint8 or float32
@treturn tensor of the same shape and dtype
@usage
cnn.image.flip_up_down(cnn.tensor{{1, 2}, {3, 4}}):tolist()  --> {{3.0, 4.0}, {1.0, 2.0}}
*/
static int flip_one(lua_State *L) {
    lcnn_args(L, 1, lcnn_upvalue_name(L), (const char *const[]){"images", NULL});
    return push_flipped(L, lcnn_upvalue_name(L), lcnn_upvalue_op(L));
}

/*** Cuts a part out of pictures, as a copy.
@function cnn.image.crop
@tparam tensor images [H,W], [H,W,C] or [N,H,W,C], of any dtype
@tparam int top the first row, from 1
@tparam int left the first column, from 1
@tparam int height rows
@tparam int width columns
@treturn tensor
@raise a part that does not lie in the pictures
@usage
x = cnn.arange(1, 10):reshape{3, 3}
cnn.image.crop(x, 2, 1, 2, 2):tolist()  --> {{4, 5}, {7, 8}}
cnn.image.crop(x, 2, 2, 3, 2)
--> error: image.crop: 3×2 pixels from row 2 and column 2 do not lie in a picture of 3×3
*/
static int crop(lua_State *L) {
    static const char who[] = "image.crop";
    lcnn_args(L, 1, who, (const char *const[]){"images", "top", "left", "height", "width", NULL});
    int64_t top = whole(L, 2, who, "top", 1, -1) - 1, left = whole(L, 3, who, "left", 1, -1) - 1;
    int64_t height = whole(L, 4, who, "height", 1, -1), width = whole(L, 5, who, "width", 1, -1);
    const cnn_tensor *images = check_images(L, 1, who);
    int rows = row_axis(images);
    const int64_t *size = images->shape + rows;
    if (top > size[0] - height || left > size[1] - width)
        lcnn_fail(L, "%s: %I×%I pixels from row %I and column %I do not lie in a picture of %I×%I", who,
                  (LUAI_UACINT)height, (LUAI_UACINT)width, (LUAI_UACINT)(top + 1), (LUAI_UACINT)(left + 1),
                  (LUAI_UACINT)size[0], (LUAI_UACINT)size[1]);
    int64_t from[CNN_MAX_RANK] = {0}, to[CNN_MAX_RANK], step[CNN_MAX_RANK];
    for (int i = 0; i < images->rank; i++) to[i] = images->shape[i], step[i] = 1;
    from[rows] = top, to[rows] = top + height;
    from[rows + 1] = left, to[rows + 1] = left + width;
    cnn_tensor *out;
    return lcnn_push_result(L, cnn_slice(&out, images, from, to, step), &out);
}

/* ---- brightness and colour ------------------------------------------------------------------------------- */

enum { BRIGHTNESS, CONTRAST, SATURATION, HUE };

static const struct {
    const char *who, *step, *amount;
} adjustments[] = {
    [BRIGHTNESS] = {"image.adjust_brightness", "brightness_delta", "delta"},
    [CONTRAST] = {"image.adjust_contrast", "contrast", "factor"},
    [SATURATION] = {"image.adjust_saturation", "saturation", "factor"},
    [HUE] = {"image.adjust_hue", "hue", "delta"},
};

/*** Makes pictures brighter: delta is added, as a share of the way from black to white.
@function cnn.image.adjust_brightness
@tparam tensor images [H,W], [H,W,C] or [N,H,W,C], uint8 or float32
@tparam number delta -1 to 1; negative: darker
@tparam[opt={0,255}] {number,...} value_range black and white, between which values are kept: {0, 1} of pictures
that were divided by 255
@treturn tensor of the same shape and dtype
@usage
cnn.image.adjust_brightness(cnn.tensor({{100, 250}}, "uint8"), 0.2):tolist()  --> {{151, 255}}
x = cnn.image.adjust_brightness{cnn.tensor{{0.25, 1}}, 0.5, value_range = {0, 1}}
x:tolist()                           --> {{0.75, 1.0}}
*/
/*** Brings values factor times as far from the mean of their channel, in each picture by itself.
@function cnn.image.adjust_contrast
@tparam tensor images [H,W], [H,W,C] or [N,H,W,C], uint8 or float32
@tparam number factor above 1: more contrast; below 1: less
@tparam[opt={0,255}] {number,...} value_range black and white, between which values are kept
@treturn tensor of the same shape and dtype
@usage
cnn.image.adjust_contrast(cnn.tensor{{100, 200}}, 0.5):tolist()  --> {{125.0, 175.0}}
*/
/*** Brings colours factor times as far from grey.
@function cnn.image.adjust_saturation
@tparam tensor images [H,W,C] or [N,H,W,C] of 3 or 4 channels, uint8 or float32
@tparam number factor 0: grey; above 1: brighter colours
@tparam[opt={0,255}] {number,...} value_range black and white, between which values are kept
@treturn tensor of the same shape and dtype
@raise another number of channels
@usage
x = cnn.tensor({{{200, 100, 0}}}, "uint8")
cnn.image.adjust_saturation(x, 0):flatten():tolist()  --> {118, 118, 118}
cnn.image.adjust_saturation(x, 1):flatten():tolist()  --> {200, 100, 0}
*/
/*** Turns colours around the wheel by a part of a turn.
@function cnn.image.adjust_hue
@tparam tensor images [H,W,C] or [N,H,W,C] of 3 or 4 channels, uint8 or float32
@tparam number delta in turns: 1/3 makes red green, green blue and blue red
@tparam[opt={0,255}] {number,...} value_range black and white, between which values are kept
@treturn tensor of the same shape and dtype
@raise another number of channels
@usage
red = cnn.tensor({{{255, 0, 0}}}, "uint8")
cnn.image.adjust_hue(red, 1 / 3):flatten():tolist()  --> {0, 255, 0}
*/
static int adjust(lua_State *L) {
    int kind = lcnn_upvalue_op(L);
    const char *who = adjustments[kind].who, *amount = adjustments[kind].amount;
    lcnn_args(L, 1, who, (const char *const[]){"images", amount, "value_range", NULL});
    double v = number(L, 2, who, amount, NAN), black = 0, white = 255;
    if (!lua_isnil(L, 3)) {
        if (lua_type(L, 3) != LUA_TTABLE)
            lcnn_fail(L, "%s: 'value_range' must be {black, white}, got %s", who, lcnn_describe(L, 3));
        lua_rawgeti(L, 3, 1);
        black = number(L, -1, who, "value_range", NAN);
        lua_rawgeti(L, 3, 2);
        white = number(L, -1, who, "value_range", NAN);
    }
    const char *steps = lua_pushfstring(
        L, "[{\"class_name\": \"%s\", \"config\": {\"range\": [%f, %f], \"value_range\": [%f, %f]}}]",
        adjustments[kind].step, v, v, black, white);
    const cnn_tensor *images = check_pictures(L, 1, who);
    cnn_augment *augment;
    cnn_tensor *out = NULL;
    cnn_random unused = {0};
    cnn_status status = cnn_augment_new(&augment, steps);
    if (status == CNN_OK) {
        status = cnn_augment_apply(&out, NULL, augment, images, NULL, &unused);
        cnn_augment_release(augment);
    }
    if (status != CNN_OK) lcnn_error(L, cnn_fail_in(status, who));
    return lcnn_push_result(L, status, &out);
}

/* ---- opening ------------------------------------------------------------------------------------------- */

static const luaL_Reg functions[] = {{"affine", affine}, {"flip", flip}, {"crop", crop}, {NULL, NULL}};

static const lcnn_entry entries[] = {{"rotate", warp, ROTATE},
                                     {"shift", warp, SHIFT},
                                     {"shear", warp, SHEAR},
                                     {"zoom", warp, ZOOM},
                                     {"flip_left_right", flip_one, HORIZONTAL},
                                     {"flip_up_down", flip_one, VERTICAL},
                                     {"adjust_brightness", adjust, BRIGHTNESS},
                                     {"adjust_contrast", adjust, CONTRAST},
                                     {"adjust_saturation", adjust, SATURATION},
                                     {"adjust_hue", adjust, HUE},
                                     {NULL, NULL, 0}};

int lcnn_open_adjust(lua_State *L) {
    luaL_getsubtable(L, 1, "image");
    luaL_setfuncs(L, functions, 0);
    lcnn_add_entries(L, entries);
    return 0;
}

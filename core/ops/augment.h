/* Attributes of the ops that change pictures [N,H,W,C] at random in training, and of those that resize them and cut
 * parts out; and what they share. */
#ifndef CNN_OPS_AUGMENT_H
#define CNN_OPS_AUGMENT_H

#include "ops/op.h"

/* What is drawn: with one seed, each draws numbers of its own. */
typedef enum cnn_augmentation {
    CNN_ROTATION,
    CNN_ZOOM,
    CNN_TRANSLATION,
    CNN_SHEAR,
    CNN_FLIP,
    CNN_CONTRAST,
    CNN_BRIGHTNESS,
    CNN_CROP
} cnn_augmentation;

typedef struct cnn_random_flip {
    const cnn_class *class;
    bool horizontal, vertical;
    int seed;
} cnn_random_flip;

typedef struct cnn_random_warp {
    const cnn_class *class;
    int kind;                                              /* CNN_ROTATION to CNN_SHEAR */
    double height_low, height_high, width_low, width_high; /* a rotation's turns are its height's */
    bool keep_aspect;                                      /* a zoom's width goes with its height */
    int fill_mode, interpolation;                          /* cnn_fill; cnn_interpolation */
    double fill_value;
    int seed;
} cnn_random_warp;

/* Of random_contrast and random_brightness. */
typedef struct cnn_random_tone {
    const cnn_class *class;
    double low, high, darkest, brightest;
    int seed;
} cnn_random_tone;

enum { CNN_CROP_NONE, CNN_CROP_ASPECT, CNN_CROP_CENTER };

/* Of resize and random_crop. */
typedef struct cnn_resize {
    const cnn_class *class;
    int height, width;
    int interpolation; /* cnn_interpolation */
    int crop;          /* what is cut out before */
    int seed;
} cnn_resize;

extern const cnn_op cnn_op_random_flip, cnn_op_random_warp, cnn_op_random_contrast, cnn_op_random_brightness,
    cnn_op_resize, cnn_op_random_crop;

/* Four numbers from [0, 1) that depend on the arguments alone; sample is the position in the batch. */
void cnn_augment_draw(cnn_augmentation what, int seed, uint64_t step, int64_t sample, double numbers[4]);

/* An error unless x is [N,H,W,C] of pixels; the output is shaped like it. */
cnn_status cnn_augment_infer(const cnn_op *op, const cnn_tensor *x, cnn_op_info *info);

#endif

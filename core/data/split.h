/* Which samples go to which part when data is split in two, as scikit-learn's train_test_split does. */
#ifndef CNN_DATA_SPLIT_H
#define CNN_DATA_SPLIT_H

#include "cnn.h"

typedef struct cnn_split_options {
    int64_t count;       /* samples; at most INT32_MAX */
    int64_t train, test; /* sizes of the parts; each at least 1, together at most count */
    bool shuffle;        /* false: the first `train` samples, then the next `test` */
    const cnn_tensor
        *classes;       /* [count,…] or NULL: samples with equal rows are one class, kept in proportion */
    cnn_random *random; /* NULL: the default generator */
} cnn_split_options;

/* Positions, all different, int32 [train + test]: those of the train part, then those of the test part. A
 * pure function of the options and the generator's state. With classes, each part holds every class, and as
 * near to its share of the samples as whole numbers get (largest remainders first); a class of one sample, or
 * a part smaller than the number of classes, is an error. */
cnn_status cnn_split(cnn_tensor **out, const cnn_split_options *options);

#endif

/* Splitting by chance, and by chance within classes. A class is a set of rows equal byte for byte, so labels
 * may be integers, floats or one-hot rows. */
#include "data/split.h"
#include "base/memory.h"
#include "base/status.h"
#include "tensor/tensor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Samples sorted by class: members of class c are order[start[c]] … order[start[c+1] - 1]. */
typedef struct classes {
    const uint8_t *rows;
    size_t width;   /* bytes of a row */
    int32_t *order; /* all samples */
    int64_t *start; /* count + 1 of them */
    int64_t count;
} classes;

static int compare_samples(const void *left, const void *right, void *context) {
    const classes *in = context;
    int32_t a = *(const int32_t *)left, b = *(const int32_t *)right;
    int difference = memcmp(in->rows + (size_t)a * in->width, in->rows + (size_t)b * in->width, in->width);
    return difference ? difference : (a > b) - (a < b);
}

static bool same_class(const classes *in, int32_t a, int32_t b) {
    return memcmp(in->rows + (size_t)a * in->width, in->rows + (size_t)b * in->width, in->width) == 0;
}

static void free_classes(classes *found) {
    cnn_free(found->order);
    cnn_free(found->start);
}

static cnn_status find_classes(classes *found, const cnn_tensor *labels) {
    int64_t n = labels->shape[0];
    size_t starts = (size_t)(n + 1) * sizeof(int64_t);
    *found = (classes){.rows = labels->data, .width = cnn_tensor_bytes(labels) / (size_t)n};
    found->order = cnn_malloc((size_t)n * sizeof(int32_t));
    found->start = cnn_malloc(starts);
    if (!found->order || !found->start) return cnn_fail_memory(starts);
    for (int32_t i = 0; i < n; i++) found->order[i] = i;
    qsort_r(found->order, (size_t)n, sizeof(int32_t), compare_samples, found);
    for (int64_t i = 0; i < n; i++)
        if (i == 0 || !same_class(found, found->order[i - 1], found->order[i]))
            found->start[found->count++] = i;
    found->start[found->count] = n;
    return CNN_OK;
}

/* ---- shares -------------------------------------------------------------------------------------------- */

typedef struct share {
    int64_t class, available, given;
    int64_t low, high; /* bounds of given */
    double exact;      /* the class's proportional share */
} share;

/* Those that miss most first; equal ones in the order of classes. */
static int compare_shares(const void *left, const void *right) {
    const share *a = left, *b = right;
    double misses_a = a->exact - (double)a->given, misses_b = b->exact - (double)b->given;
    if (misses_a != misses_b) return misses_a < misses_b ? 1 : -1;
    return (a->class > b->class) - (a->class < b->class);
}

static int compare_classes(const void *left, const void *right) {
    const share *a = left, *b = right;
    return (a->class > b->class) - (a->class < b->class);
}

/* Gives out `total` by largest remainder within the bounds, whose sums enclose total. Without bounds one pass
 * does it; each further pass moves at least one sample towards the total. */
static void apportion(share *shares, int64_t count, int64_t total) {
    int64_t available = 0, given = 0;
    for (int64_t i = 0; i < count; i++) available += shares[i].available;
    for (int64_t i = 0; i < count; i++) {
        share *s = &shares[i];
        s->exact = (double)total * (double)s->available / (double)available;
        s->given = (int64_t)floor(s->exact);
        if (s->given < s->low) s->given = s->low;
        if (s->given > s->high) s->given = s->high;
        given += s->given;
    }
    while (given != total) {
        qsort(shares, (size_t)count, sizeof *shares, compare_shares);
        for (int64_t i = 0; i < count && given < total; i++)
            if (shares[i].given < shares[i].high) shares[i].given++, given++;
        for (int64_t i = count - 1; i >= 0 && given > total; i--)
            if (shares[i].given > shares[i].low) shares[i].given--, given--;
    }
    qsort(shares, (size_t)count, sizeof *shares, compare_classes);
}

/* ---- the two ways -------------------------------------------------------------------------------------- */

static cnn_status shuffle(cnn_random *random, int32_t *values, int64_t count) {
    int32_t *order = cnn_malloc((size_t)count * 2 * sizeof(int32_t)), *old = order + count;
    if (!order) return cnn_fail_memory((size_t)count * 2 * sizeof(int32_t));
    memcpy(old, values, (size_t)count * sizeof(int32_t));
    cnn_random_permutation(random, order, (int32_t)count);
    for (int64_t i = 0; i < count; i++) values[i] = old[order[i]];
    cnn_free(order);
    return CNN_OK;
}

static cnn_status split_all(int32_t *train, int32_t *test, const cnn_split_options *options) {
    int64_t first = options->shuffle ? options->test : 0; /* shuffled, scikit-learn's test part comes first */
    size_t size = (size_t)options->count * sizeof(int32_t);
    int32_t *order = cnn_malloc(size);
    if (!order) return cnn_fail_memory(size);
    for (int32_t i = 0; i < options->count; i++) order[i] = i;
    if (options->shuffle) cnn_random_permutation(options->random, order, (int32_t)options->count);
    memcpy(train, order + first, (size_t)options->train * sizeof(int32_t));
    memcpy(test, order + (options->shuffle ? 0 : options->train), (size_t)options->test * sizeof(int32_t));
    cnn_free(order);
    return CNN_OK;
}

static cnn_status check_classes(const classes *found, const cnn_split_options *options) {
    for (int64_t c = 0; c < found->count; c++)
        if (found->start[c + 1] - found->start[c] < 2)
            return cnn_fail(
                CNN_ERROR_ARGUMENT,
                "train_test_split: a class of 'stratify' has only 1 member (sample %d), but each part "
                "needs one: expected at least 2",
                found->order[found->start[c]]);
    int64_t smaller = options->train < options->test ? options->train : options->test;
    if (smaller >= found->count) return CNN_OK;
    return cnn_fail(
        CNN_ERROR_ARGUMENT,
        "train_test_split: the %s part has %lld samples, fewer than the %lld classes of 'stratify'",
        smaller == options->train ? "train" : "test", (long long)smaller, (long long)found->count);
}

/* Deals each class's members, shuffled, by the shares of the train part and then those of the test part. */
static cnn_status deal(int32_t *train, int32_t *test, const classes *found, share *shares,
                       const cnn_split_options *options) {
    for (int64_t c = 0; c < found->count; c++) {
        int64_t members = found->start[c + 1] - found->start[c];
        shares[c] = (share){.class = c, .available = members, .low = 1, .high = members - 1};
        CNN_TRY(shuffle(options->random, found->order + found->start[c], members));
    }
    apportion(shares, found->count, options->train);
    for (int64_t c = 0; c < found->count; c++) {
        memcpy(train, found->order + found->start[c], (size_t)shares[c].given * sizeof(int32_t));
        train += shares[c].given;
        shares[c].available -= shares[c].given;
        shares[c].high = shares[c].available;
    }
    apportion(shares, found->count, options->test);
    for (int64_t c = 0; c < found->count; c++) {
        int64_t first = found->start[c + 1] - shares[c].available;
        memcpy(test, found->order + first, (size_t)shares[c].given * sizeof(int32_t));
        test += shares[c].given;
    }
    return CNN_OK;
}

static cnn_status split_classes(int32_t *train, int32_t *test, const cnn_split_options *options) {
    classes found;
    share *shares = NULL;
    cnn_status status = find_classes(&found, options->classes);
    if (status == CNN_OK) status = check_classes(&found, options);
    if (status == CNN_OK) {
        size_t size = (size_t)found.count * sizeof *shares;
        shares = cnn_malloc(size);
        status = shares ? deal(train, test, &found, shares, options) : cnn_fail_memory(size);
    }
    if (status == CNN_OK) status = shuffle(options->random, train, options->train);
    if (status == CNN_OK) status = shuffle(options->random, test, options->test);
    cnn_free(shares);
    free_classes(&found);
    return status;
}

static cnn_status check_options(const cnn_split_options *o) {
    if (o->count < 1 || o->count > INT32_MAX)
        return cnn_fail(CNN_ERROR_ARGUMENT, "train_test_split: expected 1 to 2147483647 samples, got %lld",
                        (long long)o->count);
    if (o->train < 1 || o->test < 1 || o->train > o->count - o->test)
        return cnn_fail(
            CNN_ERROR_ARGUMENT,
            "train_test_split: expected two parts of at least one of %lld samples, got %lld to train and "
            "%lld to test",
            (long long)o->count, (long long)o->train, (long long)o->test);
    if (!o->classes) return CNN_OK;
    if (!o->shuffle) return cnn_fail(CNN_ERROR_ARGUMENT, "train_test_split: 'stratify' needs shuffle = true");
    if (o->classes->rank < 1 || o->classes->shape[0] != o->count || o->classes->size < 1)
        return cnn_fail(CNN_ERROR_SHAPE,
                        "train_test_split: 'stratify' must have one label for each of %lld samples",
                        (long long)o->count);
    return CNN_OK;
}

cnn_status cnn_split(cnn_tensor **out, const cnn_split_options *options) {
    CNN_TRY(check_options(options));
    cnn_tensor *positions;
    int64_t size = options->train + options->test;
    CNN_TRY(cnn_tensor_alloc(&positions, CNN_INT32, 1, &size));
    int32_t *train = cnn_i32(positions), *test = train + options->train;
    cnn_status status =
        options->classes ? split_classes(train, test, options) : split_all(train, test, options);
    if (status == CNN_OK)
        *out = positions;
    else
        cnn_tensor_release(positions);
    return status;
}

/* Batches: rows, made one by one or by several threads at once, each written to its place in the batch's memory. The
 * first row that is there says of which tensors the batch is made. */
#include "data/dataset.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "tensor/tensor.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

typedef struct batched {
    cnn_dataset head;
    int64_t size;
} batched;

struct cnn_batch {
    cnn_dataset *rows_from;
    cnn_spares *spares; /* may be NULL */
    uint64_t iteration;
    int64_t first, count; /* rows: positions in rows_from */
    cnn_element *rows;    /* count 0: left out; a row that does not fit the others keeps its parts */
    pthread_mutex_t lock; /* of what follows */
    cnn_element whole;    /* tensors of count rows, once a row is there */
    int64_t failed;       /* the first row with an error; count if there is none */
    cnn_status status;    /* its error */
    char *message;
};

/* ---- rows -------------------------------------------------------------------------------------------------- */

static cnn_status allocate(cnn_batch *b, const cnn_element *row) {
    cnn_element whole = {.count = row->count};
    for (int i = 0; i < row->count; i++) {
        const cnn_tensor *part = row->parts[i];
        int64_t shape[CNN_MAX_RANK + 1] = {b->count};
        memcpy(shape + 1, part->shape, sizeof part->shape);
        cnn_status status = cnn_spares_alloc(&whole.parts[i], b->spares, part->dtype, part->rank + 1, shape);
        if (status == CNN_OK) continue;
        cnn_element_clear(&whole);
        return status;
    }
    b->whole = whole;
    return CNN_OK;
}

static bool fits(const cnn_element *whole, const cnn_element *row) {
    bool same = whole->count == row->count;
    for (int i = 0; i < row->count && same; i++) {
        const cnn_tensor *all = whole->parts[i], *part = row->parts[i];
        same = all->dtype == part->dtype && all->rank == part->rank + 1 &&
               (part->rank == 0 ||
                memcmp(all->shape + 1, part->shape, (size_t)part->rank * sizeof(int64_t)) == 0);
    }
    return same;
}

static void copy_row(cnn_batch *b, int64_t index, cnn_element *row) {
    for (int i = 0; i < row->count; i++) {
        size_t size = cnn_tensor_bytes(row->parts[i]);
        if (size > 0)
            memcpy((char *)b->whole.parts[i]->data + (size_t)index * size, row->parts[i]->data, size);
        cnn_tensor_release(row->parts[i]);
        row->parts[i] = NULL;
    }
}

static cnn_status make_row(cnn_batch *b, int64_t index, cnn_maker *maker) {
    cnn_element *row = &b->rows[index];
    cnn_place place = {b->iteration, b->first + index};
    if (__atomic_load_n(maker->cancelled, __ATOMIC_RELAXED))
        return cnn_fail(CNN_ERROR_INTERRUPTED, "batch: cancelled");
    CNN_TRY(cnn_dataset_make(b->rows_from, place, maker, row));
    if (row->count == 0) return CNN_OK;
    pthread_mutex_lock(&b->lock);
    cnn_status status = b->whole.count == 0 ? allocate(b, row) : CNN_OK;
    pthread_mutex_unlock(&b->lock);
    if (status == CNN_OK && fits(&b->whole, row)) copy_row(b, index, row);
    return status;
}

static bool is_wanted(cnn_batch *b, int64_t row) {
    pthread_mutex_lock(&b->lock);
    bool wanted = row < b->failed;
    pthread_mutex_unlock(&b->lock);
    return wanted;
}

void cnn_batch_make_row(cnn_batch *b, int64_t row, cnn_maker *maker) {
    if (!is_wanted(b, row)) return;
    cnn_status status = make_row(b, row, maker);
    if (status == CNN_OK) return;
    char *message = cnn_strdup(cnn_error_message());
    pthread_mutex_lock(&b->lock);
    if (row < b->failed) {
        cnn_free(b->message);
        b->failed = row;
        b->status = status;
        b->message = message;
        message = NULL;
    }
    pthread_mutex_unlock(&b->lock);
    cnn_free(message);
}

/* ---- the whole --------------------------------------------------------------------------------------------- */

static int64_t next_row(const cnn_batch *b, int64_t from) {
    while (from < b->count && b->rows[from].count == 0) from++;
    return from;
}

static const char *base_name(const char *name) {
    const char *slash = name ? strrchr(name, '/') : NULL;
    return slash ? slash + 1 : name ? name : "?";
}

/* Of a row: the dtype and shape of a part, which lies in the batch unless the row did not fit. */
static const char *part_text(const cnn_batch *b, int64_t row, int part, char *buffer, size_t capacity) {
    char shape[CNN_SHAPE_TEXT];
    const cnn_tensor *own = b->rows[row].parts[part], *t = own ? own : b->whole.parts[part];
    int axis = own ? 0 : 1;
    cnn_shape_text(shape, sizeof shape, t->rank - axis, t->shape + axis);
    snprintf(buffer, capacity, "%s %s", cnn_dtype_name(t->dtype), shape);
    return buffer;
}

/* The error of rows that differ, as if they had been compared in order. */
static cnn_status check_rows(const cnn_batch *b, int64_t first) {
    char of_first[CNN_SHAPE_TEXT + 16], of_other[CNN_SHAPE_TEXT + 16];
    const cnn_element *rows = b->rows;
    for (int64_t other = next_row(b, first + 1); other < b->count; other = next_row(b, other + 1)) {
        if (!rows[first].parts[0] && !rows[other].parts[0]) continue;
        const char *name = base_name(rows[first].name), *other_name = base_name(rows[other].name);
        if (rows[first].count != rows[other].count)
            return cnn_fail(CNN_ERROR_SHAPE, "batch: %.200s has %d tensors, but %.200s has %d", name,
                            rows[first].count, other_name, rows[other].count);
        for (int i = 0; i < rows[first].count; i++) {
            part_text(b, first, i, of_first, sizeof of_first);
            part_text(b, other, i, of_other, sizeof of_other);
            if (strcmp(of_first, of_other) != 0)
                return cnn_fail(CNN_ERROR_SHAPE, "batch: tensor %d of %.200s is %s, but of %.200s %s", i + 1,
                                name, of_first, other_name, of_other);
        }
    }
    return CNN_OK;
}

/* Moves the rows up into the places of those that are left out. */
static void close_ranks(cnn_batch *b) {
    int64_t made = 0;
    for (int64_t row = next_row(b, 0); row < b->count; row = next_row(b, row + 1), made++) {
        for (int i = 0; i < b->whole.count && made < row; i++) {
            char *data = b->whole.parts[i]->data;
            size_t size = cnn_tensor_bytes(b->whole.parts[i]) / (size_t)b->count;
            memcpy(data + (size_t)made * size, data + (size_t)row * size, size);
        }
    }
    for (int i = 0; i < b->whole.count && made < b->count; i++) {
        cnn_tensor *part = b->whole.parts[i]; /* which nobody else has seen yet */
        part->size = part->size / b->count * made;
        part->shape[0] = made;
    }
}

static cnn_status name_batch(char **out, const cnn_batch *b, int64_t position, int64_t first) {
    char text[256];
    int64_t last = b->count - 1;
    while (b->rows[last].count == 0) last--;
    const char *from = base_name(b->rows[first].name), *to = base_name(b->rows[last].name);
    if (first == last)
        snprintf(text, sizeof text, "batch %" PRId64 " (%.100s)", position + 1, from);
    else
        snprintf(text, sizeof text, "batch %" PRId64 " (%.100s to %.100s)", position + 1, from, to);
    *out = cnn_strdup(text);
    return *out ? CNN_OK : cnn_fail_memory(strlen(text));
}

static cnn_status finish(cnn_batch *b, int64_t position, cnn_element *out) {
    if (b->status != CNN_OK) return cnn_fail(b->status, "%s", b->message ? b->message : "out of memory");
    int64_t first = next_row(b, 0);
    if (first == b->count) return CNN_OK;
    CNN_TRY(check_rows(b, first));
    close_ranks(b);
    *out = b->whole;
    b->whole = (cnn_element){0};
    return name_batch(&out->name, b, position, first);
}

/* ---- the node ---------------------------------------------------------------------------------------------- */

static cnn_status begin(cnn_batch **out, cnn_dataset *dataset, cnn_place place, cnn_spares *spares) {
    int64_t size = ((batched *)dataset)->size, first = place.position * size;
    int64_t all = dataset->input->cardinality;
    int64_t count = all >= 0 && all - first < size ? all - first : size;
    cnn_batch *b = cnn_calloc(sizeof *b);
    size_t bytes = (size_t)count * sizeof *b->rows;
    cnn_element *rows = cnn_calloc(bytes);
    if (!b || !rows) {
        cnn_free(b);
        cnn_free(rows);
        return cnn_fail_memory(bytes);
    }
    *b = (cnn_batch){.rows_from = dataset->input,
                     .iteration = place.iteration,
                     .first = first,
                     .count = count,
                     .rows = rows,
                     .spares = spares,
                     .failed = count};
    pthread_mutex_init(&b->lock, NULL);
    *out = b;
    return CNN_OK;
}

void cnn_batch_free(cnn_batch *b) {
    if (!b) return;
    for (int64_t i = 0; i < b->count; i++) cnn_element_clear(&b->rows[i]);
    cnn_free(b->rows);
    cnn_element_clear(&b->whole);
    cnn_free(b->message);
    pthread_mutex_destroy(&b->lock);
    cnn_free(b);
}

int64_t cnn_batch_rows(const cnn_batch *b) {
    return b->count;
}

static cnn_status make(cnn_dataset *dataset, cnn_place place, cnn_maker *maker, cnn_element *out) {
    if (maker->ready) return finish(maker->ready, place.position, out);
    cnn_batch *b;
    CNN_TRY(begin(&b, dataset, place, NULL));
    for (int64_t row = 0; row < b->count && b->status == CNN_OK; row++) cnn_batch_make_row(b, row, maker);
    cnn_status status = finish(b, place.position, out);
    cnn_batch_free(b);
    return status;
}

static const cnn_dataset_class batch_class = {.make = make};

bool cnn_dataset_is_batch(const cnn_dataset *dataset) {
    return dataset->class == &batch_class;
}

cnn_batch *cnn_batch_begin(cnn_dataset *dataset, cnn_place place, cnn_spares *spares) {
    cnn_batch *b = NULL;
    for (; dataset && !cnn_dataset_is_batch(dataset); dataset = dataset->input) {
        if (cnn_cache_holds(dataset, place.position)) return NULL;
        if (dataset->class->locate && dataset->class->locate(dataset, &place) != CNN_OK) return NULL;
    }
    return dataset && begin(&b, dataset, place, spares) == CNN_OK ? b : NULL;
}

cnn_status cnn_dataset_batch(cnn_dataset **out, cnn_dataset *dataset, int64_t size, bool drop_remainder) {
    void *made;
    if (size < 1 || size > INT32_MAX)
        return cnn_fail(CNN_ERROR_ARGUMENT, "batch: 'batch_size' must be between 1 and %d, got %" PRId64,
                        INT32_MAX, size);
    CNN_TRY(cnn_dataset_new(&made, "batch", &batch_class, sizeof(batched), dataset));
    batched *b = made;
    b->size = size;
    if (b->head.cardinality >= 0) {
        bool smaller = b->head.cardinality % size != 0 && !drop_remainder;
        b->head.cardinality = b->head.cardinality / size + smaller;
    }
    *out = &b->head;
    return CNN_OK;
}

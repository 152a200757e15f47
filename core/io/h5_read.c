/* Reading HDF5: a child process reads the file (h5_child.c), the parent builds the tree from what comes.
 *
 * The child may be in any state, so the parent believes nothing: counts, sizes, names and nesting are checked, what is
 * taken is charged against what the file can hold, silence has an end. However reading ends, the child is ended and
 * waited for, and the pipe is closed. */
#include "io/h5_inner.h"
#include "base/memory.h"
#include "base/status.h"
#include "tensor/tensor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PIPE_SIZE = 1 << 20,
    BUFFER_SIZE = 1 << 16,
    SLICE = 50, /* milliseconds from one look at cnn_interrupted to the next */
    MOST_SLICES =
        60 * 20, /* of silence: a minute, in slices, so that being stopped and continued costs but one */
    RECORD_COST = 512, /* charged for each record: about what a node takes */
    MOST_NAME = 1 << 16
};

typedef struct stream {
    cnn_h5_source source;
    int pipe;
    pid_t child;
    bool ended;    /* the child closed the pipe */
    uint64_t left; /* bytes that may still come */
    char *buffer;
    size_t from, to; /* the buffer's bytes not yet taken */
} stream;

static cnn_status fail_damaged(const stream *in, const char *what) {
    return cnn_fail(CNN_ERROR_FORMAT, "%s is damaged: %s", in->source.name, what);
}

/* ---- receiving ------------------------------------------------------------------------------------------------- */

/* Until there is something to read, or the pipe is closed. Signals to the parent are no silence of the child. */
static cnn_status wait_for_bytes(stream *in) {
    for (int slices = 0; slices < MOST_SLICES;) {
        if (cnn_interrupted())
            return cnn_fail(CNN_ERROR_INTERRUPTED, "reading %s: interrupted", in->source.name);
        struct pollfd pipe = {.fd = in->pipe, .events = POLLIN};
        int ready = poll(&pipe, 1, SLICE);
        if (ready > 0) return CNN_OK;
        if (ready == 0 || errno != EINTR) slices++;
    }
    return fail_damaged(in, "the HDF5 library got stuck in it");
}

/* Some bytes, at least one. */
static cnn_status receive_some(stream *in, void *out, size_t size, size_t *got) {
    for (;;) {
        CNN_TRY(wait_for_bytes(in));
        ssize_t count = read(in->pipe, out, size);
        if (count > 0) {
            *got = (size_t)count;
            return CNN_OK;
        }
        if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        in->ended = true;
        return fail_damaged(in, "the HDF5 library did not get through it");
    }
}

static cnn_status receive(stream *in, void *out, size_t size) {
    char *to = out;
    while (size > 0) {
        size_t got = in->to - in->from;
        if (got == 0 && size >= BUFFER_SIZE) {
            CNN_TRY(receive_some(in, to, size, &got));
        } else {
            if (got == 0) {
                in->from = in->to = 0;
                CNN_TRY(receive_some(in, in->buffer, BUFFER_SIZE, &in->to));
                got = in->to;
            }
            if (got > size) got = size;
            memcpy(to, in->buffer + in->from, got);
            in->from += got;
        }
        to += got;
        size -= got;
    }
    return CNN_OK;
}

static cnn_status fail_too_much(const stream *in) {
    return fail_damaged(in, "more comes out of it than a file of its size can hold");
}

static cnn_status charge(stream *in, uint64_t bytes) {
    if (bytes > in->left) return fail_too_much(in);
    in->left -= bytes;
    return CNN_OK;
}

/* The name that follows a record. */
static cnn_status receive_name(stream *in, const cnn_h5_record *record, char **name) {
    if (record->name_size > MOST_NAME) return fail_damaged(in, "a name in it is too long");
    CNN_TRY(charge(in, record->name_size));
    char *text = cnn_malloc(record->name_size + 1u);
    if (!text) return cnn_fail_memory(record->name_size + 1u);
    text[record->name_size] = '\0';
    cnn_status status = receive(in, text, record->name_size);
    if (status == CNN_OK && strlen(text) != record->name_size)
        status = fail_damaged(in, "a name in it holds a NUL");
    if (status == CNN_OK)
        *name = text;
    else
        cnn_free(text);
    return status;
}

/* The child's own words. Letters may be of any language, but nothing that a terminal would obey. */
static cnn_status receive_failure(stream *in, const cnn_h5_record *record) {
    char *text;
    CNN_TRY(receive_name(in, record, &text));
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) *c = '?';
    cnn_status status = fail_damaged(in, text);
    cnn_free(text);
    return status;
}

/* ---- values ---------------------------------------------------------------------------------------------------- */

/* Checks what a record says of its values, before anything is allocated for them. */
static cnn_status check_values(stream *in, const cnn_h5_record *record, cnn_h5_value *value) {
    static const size_t sizes[] = {sizeof(float), sizeof(int64_t), sizeof(int64_t), sizeof(char *)};
    if (record->type > CNN_H5_STRING || record->rank > CNN_MAX_RANK)
        return fail_damaged(in, "a type or shape in it cannot be");
    size_t element = sizes[record->type];
    uint64_t room = in->left / element; /* sizes of 0 count as 1, as in tensors */
    *value = (cnn_h5_value){.type = (cnn_h5_type)record->type, .rank = (int)record->rank, .count = 1};
    for (int i = 0; i < value->rank; i++) {
        int64_t size = value->shape[i] = record->shape[i];
        if (size < 0) return fail_damaged(in, "a shape in it cannot be");
        if (size > 1) room /= (uint64_t)size;
        if (room == 0) return fail_too_much(in);
        value->count *= size;
    }
    uint64_t bytes = (uint64_t)value->count * element;
    bool fits = value->type == CNN_H5_STRING ? record->value_size >= (uint64_t)value->count &&
                                                   (value->count > 0 || record->value_size == 0)
                                             : record->value_size == bytes;
    if (!fits) return fail_damaged(in, "values in it have no end");
    CNN_TRY(charge(in, record->value_size));
    return value->type == CNN_H5_STRING ? charge(in, bytes) : CNN_OK;
}

static cnn_status receive_floats(stream *in, cnn_h5_value *value, uint64_t size) {
    CNN_TRY(cnn_tensor_alloc_for("hdf5", &value->tensor, CNN_FLOAT32, value->rank, value->shape));
    return receive(in, value->tensor->data, size);
}

static cnn_status receive_integers(stream *in, cnn_h5_value *value, uint64_t size) {
    value->integers = cnn_malloc(size);
    if (!value->integers) return cnn_fail_memory(size);
    CNN_TRY(receive(in, value->integers, size));
    for (int64_t i = 0; value->type == CNN_H5_UINT32 && i < value->count; i++)
        if (value->integers[i] < 0 || value->integers[i] > UINT32_MAX)
            return fail_damaged(in, "a number in it is out of its range");
    return CNN_OK;
}

static cnn_status receive_strings(stream *in, cnn_h5_value *value, uint64_t size) {
    size_t pointers = (size_t)value->count * sizeof(char *);
    value->strings = cnn_malloc(pointers + size);
    if (!value->strings) return cnn_fail_memory(pointers + size);
    char *text = (char *)value->strings + pointers, *end = text + size;
    CNN_TRY(receive(in, text, size));
    for (int64_t i = 0; i < value->count; i++) {
        char *nul = text < end ? memchr(text, '\0', (size_t)(end - text)) : NULL;
        if (!nul) return fail_damaged(in, "a string in it has no end");
        value->strings[i] = text;
        text = nul + 1;
    }
    return CNN_OK;
}

static cnn_status receive_value(stream *in, const cnn_h5_record *record, cnn_h5_value *out) {
    cnn_h5_value value;
    CNN_TRY(check_values(in, record, &value));
    cnn_status status = value.type == CNN_H5_FLOAT32  ? receive_floats(in, &value, record->value_size)
                        : value.type == CNN_H5_STRING ? receive_strings(in, &value, record->value_size)
                                                      : receive_integers(in, &value, record->value_size);
    if (status == CNN_OK)
        *out = value;
    else
        cnn_h5_value_clear(&value);
    return status;
}

/* ---- lists in parts -------------------------------------------------------------------------------------------- */

/* Which attribute is the part of a list whose name is the first `length` characters; -1 if none is. */
static int find_part(const cnn_h5_node *node, const char *name, size_t length, int number) {
    char digits[16];
    snprintf(digits, sizeof digits, "%d", number);
    for (int i = 0; i < node->attribute_count; i++) {
        const cnn_h5_attribute *a = &node->attributes[i];
        if (strncmp(a->name, name, length) == 0 && strcmp(a->name + length, digits) == 0)
            return a->value.type == CNN_H5_STRING && a->value.rank == 1 ? i : -1;
    }
    return -1;
}

static bool has_attribute(const cnn_h5_node *node, const char *name, size_t length) {
    for (int i = 0; i < node->attribute_count; i++)
        if (strncmp(node->attributes[i].name, name, length) == 0 && !node->attributes[i].name[length])
            return true;
    return false;
}

/* Puts the list's parts together in the place of the first; the others go. */
static cnn_status join_parts(cnn_h5_node *node, const int *parts, int count) {
    const cnn_h5_value *values[CNN_H5_MOST_ATTRIBUTES];
    for (int i = 0; i < count; i++) values[i] = &node->attributes[parts[i]].value;
    cnn_h5_value whole;
    CNN_TRY(cnn_h5_join(&whole, values, count));
    for (int i = 0; i < count; i++) {
        cnn_h5_attribute *part = &node->attributes[parts[i]];
        cnn_h5_value_clear(&part->value);
        if (i > 0) cnn_free(part->name);
        if (i > 0) part->name = NULL;
    }
    cnn_h5_attribute *first = &node->attributes[parts[0]];
    first->name[strlen(first->name) - 1] = '\0';
    first->value = whole;
    int kept = 0;
    for (int i = 0; i < node->attribute_count; i++)
        if (node->attributes[i].name) node->attributes[kept++] = node->attributes[i];
    node->attribute_count = kept;
    return CNN_OK;
}

/* name0, name1, … become name, unless that is there too. */
static cnn_status join_lists(cnn_h5_node *node) {
    int parts[CNN_H5_MOST_ATTRIBUTES];
    for (int i = 0; i < node->attribute_count; i++) {
        char *name = node->attributes[i].name;
        size_t length = strlen(name);
        if (length < 2 || name[length - 1] != '0') continue;
        int count = 0;
        while (count < CNN_H5_MOST_ATTRIBUTES &&
               (parts[count] = find_part(node, name, length - 1, count)) >= 0)
            count++;
        if (count > 1 && !has_attribute(node, name, length - 1)) CNN_TRY(join_parts(node, parts, count));
    }
    return CNN_OK;
}

/* ---- the tree -------------------------------------------------------------------------------------------------- */

typedef struct builder {
    stream *in;
    cnn_h5_node *root;
    cnn_h5_node *open[CNN_H5_DEEPEST + 1]; /* the nodes being read, each in the one before */
    int depth;
} builder;

/* A record that cannot come here. */
static cnn_status fail_order(const builder *b) {
    return fail_damaged(b->in, "its parts are out of order");
}

static cnn_status hang_in(builder *b, cnn_h5_node *node) {
    if (b->depth > 0) return cnn_h5_append(b->open[b->depth - 1], node);
    b->root = node;
    return CNN_OK;
}

static cnn_status enter_named(builder *b, const cnn_h5_record *record, const char *name) {
    bool is_root = !b->root;
    if (is_root ? *name != '\0' || record->step != CNN_H5_GROUP
                : b->depth == 0 || !*name || strchr(name, '/'))
        return fail_order(b);
    if (!is_root && b->open[b->depth - 1]->value) return fail_order(b);
    if (b->depth > CNN_H5_DEEPEST) return fail_damaged(b->in, "it is nested too deep");
    cnn_h5_node *node;
    CNN_TRY(cnn_h5_node_new(&node, name, strlen(name)));
    cnn_status status = CNN_OK;
    if (record->step == CNN_H5_DATASET) {
        node->value = cnn_calloc(sizeof *node->value);
        status =
            node->value ? receive_value(b->in, record, node->value) : cnn_fail_memory(sizeof *node->value);
    }
    if (status == CNN_OK) status = hang_in(b, node);
    if (status == CNN_OK)
        b->open[b->depth++] = node;
    else
        cnn_h5_free(node);
    return status;
}

static cnn_status enter(builder *b, const cnn_h5_record *record) {
    char *name;
    CNN_TRY(receive_name(b->in, record, &name));
    cnn_status status = enter_named(b, record, name);
    cnn_free(name);
    return status;
}

static cnn_status add_attribute(builder *b, const cnn_h5_record *record) {
    if (b->depth == 0) return fail_order(b);
    cnn_h5_node *node = b->open[b->depth - 1];
    if (node->attribute_count == CNN_H5_MOST_ATTRIBUTES)
        return fail_damaged(b->in, "a group or dataset in it has too many attributes");
    char *name;
    cnn_h5_value value;
    CNN_TRY(receive_name(b->in, record, &name));
    cnn_status status = receive_value(b->in, record, &value);
    if (status == CNN_OK) {
        status = cnn_h5_append_attribute(node, name, &value);
        if (status == CNN_OK) return CNN_OK;
        cnn_h5_value_clear(&value);
    }
    cnn_free(name);
    return status;
}

static cnn_status leave(builder *b) {
    if (b->depth == 0) return fail_order(b);
    return join_lists(b->open[--b->depth]);
}

static cnn_status build(builder *b) {
    for (;;) {
        cnn_h5_record record;
        CNN_TRY(receive(b->in, &record, sizeof record));
        CNN_TRY(charge(b->in, RECORD_COST));
        switch (record.step) {
        case CNN_H5_GROUP:
        case CNN_H5_DATASET:
            CNN_TRY(enter(b, &record));
            break;
        case CNN_H5_ATTRIBUTE:
            CNN_TRY(add_attribute(b, &record));
            break;
        case CNN_H5_LEAVE:
            CNN_TRY(leave(b));
            break;
        case CNN_H5_DONE:
            return b->root && b->depth == 0 ? CNN_OK : fail_order(b);
        case CNN_H5_FAILED:
            return receive_failure(b->in, &record);
        default:
            return fail_order(b);
        }
    }
}

/* ---- the child ------------------------------------------------------------------------------------------------- */

/* Forks with all signals held back, so that none of the parent's handlers ever runs in the child. The lock also keeps
 * the pipe's other end out of another child: this one's end could not be seen there. */
static cnn_status start(stream *in) {
    int ends[2];
    sigset_t all, before;
    sigfillset(&all);
    cnn_h5_lock();
    int error = pipe2(ends, O_CLOEXEC) == 0 ? 0 : errno;
    if (!error) {
        fcntl(ends[0], F_SETPIPE_SZ, PIPE_SIZE);
        fcntl(ends[0], F_SETFL, O_NONBLOCK);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        in->child = fork();
        if (in->child == 0) cnn_h5_child(&in->source, ends[1]);
        if (in->child < 0) error = errno;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        close(ends[1]);
        if (error) close(ends[0]);
    }
    cnn_h5_unlock();
    if (error)
        return cnn_fail(CNN_ERROR_IO, "cannot read %s: no process for it: %s", in->source.name,
                        strerror(error));
    in->pipe = ends[0];
    return CNN_OK;
}

/* Ends the child if it has not ended, and waits for it. Returns the signal that it died of, 0 if none is known: where
 * the host ignores SIGCHLD or waits for all children itself, its end cannot be learnt. */
static int finish(stream *in) {
    int how = 0;
    close(in->pipe);
    pid_t ended = waitpid(in->child, &how, WNOHANG);
    if (ended == 0) {
        kill(in->child, SIGKILL);
        while ((ended = waitpid(in->child, &how, 0)) < 0 && errno == EINTR) {
        }
    }
    return ended == in->child && WIFSIGNALED(how) ? WTERMSIG(how) : 0;
}

static cnn_status fail_ended(const stream *in, int number) {
    if (number == 0) return CNN_ERROR_FORMAT; /* the message stands */
    if (number == SIGXCPU) return fail_damaged(in, "the HDF5 library takes too long over it");
    return cnn_fail(CNN_ERROR_FORMAT, "%s is damaged: the HDF5 library crashed on it (signal %d)",
                    in->source.name, number);
}

static cnn_status read_source(cnn_h5_node **root, const cnn_h5_source *source) {
    stream in = {.source = *source, .left = source->most};
    builder b = {.in = &in};
    in.buffer = cnn_malloc(BUFFER_SIZE);
    if (!in.buffer) return cnn_fail_memory(BUFFER_SIZE);
    cnn_status status = start(&in);
    if (status == CNN_OK) {
        status = build(&b);
        int number = finish(&in);
        if (in.ended && status == CNN_ERROR_FORMAT) status = fail_ended(&in, number);
    }
    cnn_free(in.buffer);
    if (status == CNN_OK)
        *root = b.root;
    else
        cnn_h5_free(b.root);
    return status;
}

/* ---- sources --------------------------------------------------------------------------------------------------- */

/* No more than a tensor may have, in any case. */
static uint64_t most_of(uint64_t size) {
    const uint64_t limit = UINT64_C(1) << 40;
    if (size > limit / CNN_H5_MOST_TIMES) return limit;
    size *= CNN_H5_MOST_TIMES;
    return size > CNN_H5_MOST_FREE ? size : CNN_H5_MOST_FREE;
}

/* The signature lies at 0, or behind a block of the user's at 512, 1024, 2048, … */
static bool has_signature(const cnn_h5_source *source, int fd) {
    static const char signature[8] = "\x89HDF\r\n\x1a\n";
    for (uint64_t at = 0; at < source->size && source->size - at >= sizeof signature;
         at = at ? 2 * at : 512) {
        char found[sizeof signature] = "";
        if (source->bytes)
            memcpy(found, (const char *)source->bytes + at, sizeof found);
        else if (pread(fd, found, sizeof found, (off_t)at) != sizeof found)
            return false;
        if (memcmp(found, signature, sizeof found) == 0) return true;
    }
    return false;
}

static cnn_status fail_signature(const char *name) {
    return cnn_fail(CNN_ERROR_FORMAT, "%s is not an HDF5 file (its signature is missing)", name);
}

/* What the library would not tell as clearly. */
static cnn_status check_file(cnn_h5_source *source, int fd) {
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0)
        return cnn_fail(CNN_ERROR_IO, "cannot read %s: %s", source->name, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return cnn_fail(CNN_ERROR_IO, "cannot read %s: %s", source->name,
                        S_ISDIR(info.st_mode) ? strerror(EISDIR) : "expected a regular file");
    source->size = (uint64_t)info.st_size;
    source->most = most_of(source->size);
    return has_signature(source, fd) ? CNN_OK : fail_signature(source->name);
}

cnn_status cnn_h5_read(cnn_h5_node **root, const char *path) {
    cnn_h5_source source = {.name = path};
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    cnn_status status = check_file(&source, fd);
    if (fd >= 0) close(fd);
    return status == CNN_OK ? read_source(root, &source) : status;
}

cnn_status cnn_h5_read_bytes(cnn_h5_node **root, const char *name, const void *bytes, size_t size) {
    cnn_h5_source source = {.name = name, .bytes = bytes, .size = size, .most = most_of(size)};
    return bytes && has_signature(&source, -1) ? read_source(root, &source) : fail_signature(name);
}

/* The child process that reads an HDF5 file with the library and sends what it finds (see h5_inner.h for the stream).
 *
 * Nothing here is freed on the way out and nothing recovers: whatever goes wrong, the process says so and ends, or just
 * ends. Its memory is malloc's, as libcnn's own is counted for the parent; its processor time and its address space are
 * bounded. Nothing but the one file is opened: neither links into other files, nor values kept in other files, nor the
 * library's plugins. */
#include "io/h5_inner.h"

#include <fcntl.h>
#include <hdf5.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    PIECE = 4 << 20,            /* values are read and sent in pieces of about so many bytes */
    SECONDS = 1,                /* of processor time for any file, and one more for each … */
    BYTES_PER_SECOND = 1 << 20, /* … so many bytes of it */
    ROOM = 256 << 20            /* address space beside what may come out of the file */
};

typedef struct sender {
    FILE *out;
    uint64_t most;
    haddr_t above[CNN_H5_DEEPEST + 1]; /* the addresses of the object at hand and those it is in */
    int depth;
} sender;

/* ---- sending --------------------------------------------------------------------------------------------------- */

static void send_record(sender *to, cnn_h5_step step, const char *name, cnn_h5_record record) {
    record.step = step;
    record.name_size = (uint32_t)strlen(name);
    fwrite(&record, sizeof record, 1, to->out);
    fwrite(name, 1, record.name_size, to->out);
}

static _Noreturn void give_up(sender *to, const char *format, ...) __attribute__((format(printf, 2, 3)));

static _Noreturn void give_up(sender *to, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    send_record(to, CNN_H5_FAILED, text, (cnn_h5_record){0});
    fflush(to->out);
    _exit(1);
}

enum { REASON = 160 };

static herr_t take_reason(unsigned number, const H5E_error2_t *error, void *reason) {
    (void)number;
    snprintf(reason, REASON, " (%s)", error->desc ? error->desc : "");
    return 1; /* one is enough */
}

/* The library's own words for what happened first, if it has any. */
static void find_reason(char reason[REASON]) {
    *reason = '\0';
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_reason, reason);
}

/* What is wrong with an object, or with the link or attribute of a name in it. */
static _Noreturn void give_up_on(sender *to, hid_t object, const char *name, const char *what) {
    char path[200] = "", reason[REASON];
    find_reason(reason);
    H5Iget_name(object, path, sizeof path);
    if (!name) give_up(to, "'%s' %s%s", path, what, reason);
    give_up(to, "'%.100s' in '%s' %s%s", name, path, what, reason);
}

static void *allocate(sender *to, size_t size) {
    void *block = malloc(size ? size : 1);
    if (!block) give_up(to, "it would take %zu bytes at once", size);
    return block;
}

/* ---- values ---------------------------------------------------------------------------------------------------- */

/* A dataset or an attribute. */
typedef struct values {
    const char *name;
    hid_t object; /* the dataset, or the attribute */
    bool is_attribute;
    hid_t type; /* in memory */
    bool variable_length;
    size_t element, bytes; /* in memory: of one, of all */
    int64_t count;
    cnn_h5_record record;
} values;

/* False: neither numbers nor strings. */
static bool take_type(values *v, hid_t type) {
    switch (H5Tget_class(type)) {
    case H5T_FLOAT:
        v->record.type = CNN_H5_FLOAT32;
        v->type = H5Tcopy(H5T_NATIVE_FLOAT);
        break;
    case H5T_INTEGER:
        v->record.type =
            H5Tget_size(type) == 4 && H5Tget_sign(type) == H5T_SGN_NONE ? CNN_H5_UINT32 : CNN_H5_INT64;
        v->type = H5Tcopy(H5T_NATIVE_INT64);
        break;
    case H5T_ENUM: /* h5py's booleans */
        v->record.type = CNN_H5_INT64;
        v->type = H5Tcopy(H5T_NATIVE_INT64);
        break;
    case H5T_STRING:
        v->record.type = CNN_H5_STRING;
        v->type = H5Tcopy(type);
        v->variable_length = H5Tis_variable_str(type) > 0;
        break;
    default:
        return false;
    }
    v->element = H5Tget_size(v->type);
    return v->element > 0;
}

static _Noreturn void give_up_values(sender *to, const values *v, const char *what) {
    give_up_on(to, v->object, v->is_attribute ? v->name : NULL, what);
}

static void take_space(sender *to, values *v, hid_t space) {
    H5S_class_t class = H5Sget_simple_extent_type(space);
    if (class == H5S_NULL) { /* no values at all, not even a shape */
        v->record.type = CNN_H5_FLOAT32;
        v->record.rank = 1;
        return;
    }
    hsize_t shape[H5S_MAX_RANK];
    int rank = H5Sget_simple_extent_dims(space, shape, NULL);
    if (class == H5S_NO_CLASS || rank < 0) give_up_values(to, v, "has no shape");
    if (rank > CNN_MAX_RANK) give_up_values(to, v, "has more axes than a tensor can");
    v->record.rank = (uint32_t)rank;
    v->count = 1;
    v->bytes = v->element;
    bool fits = v->bytes <= to->most;
    for (int i = 0; fits && i < rank; i++) {
        fits = shape[i] <= INT64_MAX && !__builtin_mul_overflow(v->bytes, shape[i], &v->bytes) &&
               v->bytes <= to->most;
        v->record.shape[i] = (int64_t)shape[i];
        if (fits) v->count *= (int64_t)shape[i];
    }
    if (!fits) give_up_values(to, v, "is larger than the file can hold");
}

static void read_all(sender *to, const values *v, void *buffer) {
    if (v->count == 0) return;
    herr_t error = v->is_attribute ? H5Aread(v->object, v->type, buffer)
                                   : H5Dread(v->object, v->type, H5S_ALL, H5S_ALL, H5P_DEFAULT, buffer);
    if (error < 0) give_up_values(to, v, "cannot be read");
}

/* The length of string i, which a NUL or, in the manner of Fortran, spaces end. */
static size_t string_at(const values *v, const void *buffer, bool spaces, int64_t i, const char **text) {
    if (v->variable_length) {
        *text = ((char *const *)buffer)[i];
        return *text ? strlen(*text) : 0;
    }
    *text = (const char *)buffer + (size_t)i * v->element;
    size_t length = strnlen(*text, v->element);
    while (spaces && length > 0 && (*text)[length - 1] == ' ') length--;
    return length;
}

static void send_strings(sender *to, values *v, cnn_h5_step step) {
    void *buffer = allocate(to, v->bytes);
    read_all(to, v, buffer);
    bool spaces = !v->variable_length && H5Tget_strpad(v->type) == H5T_STR_SPACEPAD;
    const char *text;
    for (int64_t i = 0; i < v->count; i++) v->record.value_size += string_at(v, buffer, spaces, i, &text) + 1;
    send_record(to, step, v->name, v->record);
    for (int64_t i = 0; i < v->count; i++) {
        size_t length = string_at(v, buffer, spaces, i, &text);
        if (length > 0) fwrite(text, 1, length, to->out);
        fputc('\0', to->out);
        if (v->variable_length) free(((char **)buffer)[i]);
    }
    free(buffer);
}

/* The size of chunks along an axis; 1 without chunks. */
static int64_t chunk_size(const values *v, int axis) {
    hsize_t chunk[H5S_MAX_RANK];
    hid_t properties = H5Dget_create_plist(v->object);
    int rank = H5Pget_layout(properties) == H5D_CHUNKED ? H5Pget_chunk(properties, H5S_MAX_RANK, chunk) : 0;
    H5Pclose(properties);
    return axis < rank && chunk[axis] > 0 && chunk[axis] <= INT64_MAX ? (int64_t)chunk[axis] : 1;
}

/* Rows of the first axis that has more than one, as many at a time as make a piece, and whole chunks of them: no chunk
 * is unpacked twice. */
static void send_rows(sender *to, const values *v) {
    hsize_t start[CNN_MAX_RANK] = {0}, count[CNN_MAX_RANK];
    int axis = 0, rank = (int)v->record.rank;
    while (v->record.shape[axis] == 1) axis++;
    int64_t rows = v->record.shape[axis], chunk = chunk_size(v, axis), row = (int64_t)v->bytes / rows;
    int64_t step = row < PIECE ? PIECE / row : 1;
    step = chunk < rows ? (step + chunk - 1) / chunk * chunk : rows;
    if (step > rows) step = rows;
    void *buffer = allocate(to, (size_t)(step * row));
    hid_t space = H5Dget_space(v->object);
    for (int i = 0; i < rank; i++) count[i] = (hsize_t)v->record.shape[i];
    for (int64_t from = 0; from < rows; from += step) {
        start[axis] = (hsize_t)from;
        count[axis] = (hsize_t)(rows - from < step ? rows - from : step);
        hsize_t bytes = count[axis] * (hsize_t)row, elements = bytes / v->element;
        hid_t memory = H5Screate_simple(1, &elements, NULL);
        if (H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
            H5Dread(v->object, v->type, memory, space, H5P_DEFAULT, buffer) < 0)
            _exit(1); /* in the midst of values nothing can be told */
        H5Sclose(memory);
        fwrite(buffer, 1, bytes, to->out);
    }
    H5Sclose(space);
    free(buffer);
}

static void send_numbers(sender *to, values *v, cnn_h5_step step) {
    v->record.value_size = v->bytes;
    if (!v->is_attribute && v->bytes > PIECE) {
        send_record(to, step, v->name, v->record);
        send_rows(to, v);
        return;
    }
    void *buffer = allocate(to, v->bytes);
    read_all(to, v, buffer);
    send_record(to, step, v->name, v->record);
    if (v->bytes > 0) fwrite(buffer, 1, v->bytes, to->out);
    free(buffer);
}

/* False: what it holds is none of ours. */
static bool send_values(sender *to, cnn_h5_step step, values *v) {
    hid_t type = v->is_attribute ? H5Aget_type(v->object) : H5Dget_type(v->object);
    hid_t space = v->is_attribute ? H5Aget_space(v->object) : H5Dget_space(v->object);
    if (type < 0 || space < 0) give_up_values(to, v, "cannot be read");
    bool ours = take_type(v, type);
    if (ours) {
        take_space(to, v, space);
        if (v->record.type == CNN_H5_STRING)
            send_strings(to, v, step);
        else
            send_numbers(to, v, step);
        H5Tclose(v->type);
    }
    H5Tclose(type);
    H5Sclose(space);
    return ours;
}

/* ---- objects --------------------------------------------------------------------------------------------------- */

static herr_t send_attribute(hid_t object, const char *name, const H5A_info_t *info, void *data) {
    (void)info;
    values v = {.name = name, .is_attribute = true, .object = H5Aopen(object, name, H5P_DEFAULT)};
    if (v.object < 0) give_up_on(data, object, name, "cannot be opened");
    send_values(data, CNN_H5_ATTRIBUTE, &v);
    H5Aclose(v.object);
    return 0;
}

static void send_attributes(sender *to, hid_t object) {
    if (H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, send_attribute, to) < 0)
        give_up_on(to, object, NULL, "has damaged attributes");
}

/* Are the values in this very file? */
static bool is_stored_here(hid_t dataset) {
    hid_t properties = H5Dget_create_plist(dataset);
    bool here = H5Pget_layout(properties) != H5D_VIRTUAL && H5Pget_external_count(properties) <= 0;
    H5Pclose(properties);
    return here;
}

static void send_dataset(sender *to, hid_t dataset, const char *name) {
    values v = {.name = name, .object = dataset};
    if (!is_stored_here(dataset) || !send_values(to, CNN_H5_DATASET, &v)) return;
    send_attributes(to, dataset);
    send_record(to, CNN_H5_LEAVE, "", (cnn_h5_record){0});
}

static herr_t send_child(hid_t group, const char *name, const H5L_info_t *info, void *data);

static void send_group(sender *to, hid_t group, const char *name) {
    send_record(to, CNN_H5_GROUP, name, (cnn_h5_record){0});
    send_attributes(to, group);
    unsigned tracked = 0;
    hid_t properties = H5Gget_create_plist(group);
    H5Pget_link_creation_order(properties, &tracked);
    H5Pclose(properties);
    H5_index_t order = tracked & H5P_CRT_ORDER_TRACKED ? H5_INDEX_CRT_ORDER : H5_INDEX_NAME;
    if (H5Literate(group, order, H5_ITER_INC, NULL, send_child, to) < 0)
        give_up_on(to, group, NULL, "has damaged contents");
    send_record(to, CNN_H5_LEAVE, "", (cnn_h5_record){0});
}

static void send_object(sender *to, hid_t object, const char *name) {
    H5O_info_t info;
    if (H5Oget_info2(object, &info, H5O_INFO_BASIC) < 0) give_up_on(to, object, NULL, "is damaged");
    for (int i = 0; i < to->depth; i++)
        if (to->above[i] == info.addr) return; /* a group within itself */
    if (to->depth > CNN_H5_DEEPEST) give_up(to, "more than %d groups lie within each other", CNN_H5_DEEPEST);
    to->above[to->depth++] = info.addr;
    if (info.type == H5O_TYPE_GROUP) send_group(to, object, name);
    if (info.type == H5O_TYPE_DATASET) send_dataset(to, object, name);
    to->depth--;
}

static herr_t send_child(hid_t group, const char *name, const H5L_info_t *info, void *data) {
    if (info->type != H5L_TYPE_HARD && info->type != H5L_TYPE_SOFT) return 0;
    hid_t object = H5Oopen(group, name, H5P_DEFAULT);
    if (object < 0 && info->type == H5L_TYPE_HARD) give_up_on(data, group, name, "cannot be opened");
    if (object < 0) return 0; /* a soft link to nothing */
    send_object(data, object, name);
    H5Oclose(object);
    return 0;
}

/* ---- the process ----------------------------------------------------------------------------------------------- */

/* The keyboard's signals are the parent's to answer; all others end the child as they would any program. */
static void forget_signals(void) {
    for (int number = 1; number < NSIG; number++)
        signal(number, number == SIGINT || number == SIGQUIT ? SIG_IGN : SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void forget_streams(void) {
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; nowhere >= 0 && fd < 3; fd++) dup2(nowhere, fd);
    if (nowhere > 2) close(nowhere);
}

/* The hard limit is a little higher, so that the signal tells which limit it was. */
static void limit(int resource, uint64_t most) {
    struct rlimit now;
    if (getrlimit(resource, &now) != 0 || now.rlim_cur <= most) return;
    now = (struct rlimit){.rlim_cur = most, .rlim_max = now.rlim_max < most + 1 ? now.rlim_max : most + 1};
    setrlimit(resource, &now);
}

/* Beyond what the parent had mapped already. AddressSanitizer maps the whole address space. */
static void limit_memory(uint64_t most) {
#ifndef __SANITIZE_ADDRESS__
    unsigned long long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    bool known = statm && fscanf(statm, "%llu", &pages) == 1;
    if (statm) fclose(statm);
    if (known) limit(RLIMIT_AS, pages * (uint64_t)sysconf(_SC_PAGESIZE) + most + ROOM);
#else
    (void)most;
#endif
}

/* An image that is only read needs no copy of its own. */
static void *lend_image(size_t size, H5FD_file_image_op_t operation, void *bytes) {
    (void)size;
    (void)operation;
    return bytes;
}

static void *copy_no_image(void *to, const void *from, size_t size, H5FD_file_image_op_t operation,
                           void *bytes) {
    (void)from;
    (void)size;
    (void)operation;
    (void)bytes;
    return to;
}

static void *grow_no_image(void *image, size_t size, H5FD_file_image_op_t operation, void *bytes) {
    (void)image;
    (void)size;
    (void)operation;
    (void)bytes;
    return NULL;
}

static herr_t free_no_image(void *image, H5FD_file_image_op_t operation, void *bytes) {
    (void)image;
    (void)operation;
    (void)bytes;
    return 0;
}

static void *copy_no_data(void *bytes) {
    return bytes;
}

static herr_t free_no_data(void *bytes) {
    (void)bytes;
    return 0;
}

static hid_t open_source(const cnn_h5_source *source) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_file_locking(access, 0, 1); /* media that cannot lock can be read */
    if (source->bytes) {
        void *bytes = (void *)source->bytes;
        H5FD_file_image_callbacks_t callbacks = {lend_image,   copy_no_image, grow_no_image, free_no_image,
                                                 copy_no_data, free_no_data,  bytes};
        H5Pset_fapl_core(access, 1 << 16, 0);
        H5Pset_file_image_callbacks(access, &callbacks);
        H5Pset_file_image(access, bytes, source->size);
    }
    return H5Fopen(source->bytes ? "image" : source->name, H5F_ACC_RDONLY, access);
}

_Noreturn void cnn_h5_child(const cnn_h5_source *source, int pipe) {
    forget_signals();
    forget_streams();
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_CPU, SECONDS + source->size / BYTES_PER_SECOND);
    limit_memory(source->most);
    sender to = {.out = fdopen(pipe, "wb"), .most = source->most};
    if (!to.out) _exit(1);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5PLset_loading_state(0);
    H5Lunregister(H5L_TYPE_EXTERNAL);
    hid_t file = open_source(source), root = file < 0 ? -1 : H5Gopen2(file, "/", H5P_DEFAULT);
    if (root < 0) {
        char reason[REASON];
        find_reason(reason);
        give_up(&to, "it cannot be opened%s", reason);
    }
    send_object(&to, root, "");
    send_record(&to, CNN_H5_DONE, "", (cnn_h5_record){0});
    _exit(fflush(to.out) == 0 ? 0 : 1);
}

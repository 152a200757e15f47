/* Listing pictures in folders. A folder is read to its end before those in it are entered, so at most one is open;
 * the system tells with the names what is a file and what a folder, so that files need not be looked at. */
#include "data/listing.h"
#include "base/memory.h"
#include "base/status.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static const char who[] = "image_dataset_from_directory";

/* ---- lists that grow --------------------------------------------------------------------------------------- */

/* Room for `more` items behind `count`. */
static cnn_status make_room(void *list, size_t count, size_t more, size_t *capacity, size_t size) {
    if (*capacity - count >= more) return CNN_OK;
    size_t grown = 2 * *capacity + more + 64;
    void *bigger = cnn_realloc(*(void **)list, grown * size);
    if (!bigger) return cnn_fail_memory(grown * size);
    *(void **)list = bigger;
    *capacity = grown;
    return CNN_OK;
}

/* A path, made of a folder's and a name: where it lies in the text. The folder's may lie there too, which moves. */
static cnn_status add_path(cnn_listing *listing, size_t *out, const char *folder, size_t length,
                           const char *name) {
    bool slash = length > 0 && folder[length - 1] != '/';
    size_t size = strlen(name), at = listing->length;
    ptrdiff_t inside =
        listing->text && folder >= listing->text && folder < listing->text + at ? folder - listing->text : -1;
    CNN_TRY(make_room(&listing->text, at, length + size + 2, &listing->text_capacity, 1));
    if (inside >= 0) folder = listing->text + inside;
    memcpy(listing->text + at, folder, length);
    if (slash) listing->text[at + length++] = '/';
    memcpy(listing->text + at + length, name, size + 1);
    listing->length = at + length + size + 1;
    *out = at;
    return CNN_OK;
}

static cnn_status add_picture(cnn_listing *listing, size_t path, int label) {
    CNN_TRY(make_room(&listing->pictures, listing->count, 1, &listing->capacity, sizeof *listing->pictures));
    listing->pictures[listing->count++] = (cnn_picture){.path = path, .label = label};
    return CNN_OK;
}

static int compare_pictures(const void *left, const void *right, void *text) {
    return strcmp((char *)text + ((const cnn_picture *)left)->path,
                  (char *)text + ((const cnn_picture *)right)->path);
}

static void sort_pictures(cnn_listing *listing, size_t from) {
    if (listing->count > from)
        qsort_r(listing->pictures + from, listing->count - from, sizeof *listing->pictures, compare_pictures,
                listing->text);
}

const char *cnn_listing_path(const cnn_listing *listing, const cnn_picture *picture) {
    return listing->text + picture->path;
}

void cnn_listing_free(cnn_listing *listing) {
    cnn_free(listing->text);
    cnn_free(listing->pictures);
    *listing = (cnn_listing){0};
}

/* ---- entries of a folder ----------------------------------------------------------------------------------- */

typedef enum kind { A_FILE, A_FOLDER, A_LINKED_FOLDER, SOMETHING_ELSE } kind;

/* A link that leads nowhere is a file: reading it will tell. */
static kind kind_of(int folder, const struct dirent *entry) {
    struct stat info;
    bool linked = entry->d_type == DT_LNK;
    if (entry->d_type == DT_REG) return A_FILE;
    if (entry->d_type == DT_DIR) return A_FOLDER;
    if (entry->d_type == DT_UNKNOWN && fstatat(folder, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0)
        linked = S_ISLNK(info.st_mode);
    if (fstatat(folder, entry->d_name, &info, 0) != 0) return linked ? A_FILE : SOMETHING_ELSE;
    if (S_ISDIR(info.st_mode)) return linked ? A_LINKED_FOLDER : A_FOLDER;
    return S_ISREG(info.st_mode) ? A_FILE : SOMETHING_ELSE;
}

static bool is_picture_name(const char *name) {
    static const char *const endings[] = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".pgm", ".ppm", ".pnm"};
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t size = strlen(endings[i]);
        if (length >= size && strcasecmp(name + length - size, endings[i]) == 0) return true;
    }
    return false;
}

static cnn_status fail_read(const char *path, int error) {
    return cnn_fail(CNN_ERROR_IO, "%s: cannot read %s: %s", who, path, strerror(error));
}

/* The next entry but . and ..; NULL at the end, where errno tells of an error. */
static const struct dirent *next_entry(DIR *dir) {
    const struct dirent *entry;
    do {
        errno = 0;
        entry = readdir(dir);
    } while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
    return entry;
}

static size_t length_without_slashes(const char *folder) {
    size_t length = strlen(folder);
    while (length > 1 && folder[length - 1] == '/') length--;
    return length;
}

cnn_status cnn_list_folders(cnn_listing *listing, const char *folder) {
    size_t first = listing->count, length = length_without_slashes(folder), path;
    cnn_status status = CNN_OK;
    const struct dirent *entry;
    DIR *dir = opendir(folder);
    if (!dir) return fail_read(folder, errno);
    while (status == CNN_OK && (entry = next_entry(dir))) {
        kind is = kind_of(dirfd(dir), entry);
        if (entry->d_name[0] == '.' || (is != A_FOLDER && is != A_LINKED_FOLDER)) continue;
        status = add_path(listing, &path, folder, length, entry->d_name);
        if (status == CNN_OK) status = add_picture(listing, path, 0);
    }
    if (status == CNN_OK && errno != 0) status = fail_read(folder, errno);
    closedir(dir);
    sort_pictures(listing, first);
    return status;
}

/* ---- folders under folders --------------------------------------------------------------------------------- */

typedef struct folder {
    size_t path;         /* in the listing's text */
    size_t first, count; /* its pictures in the listing */
    dev_t device;
    ino_t inode; /* of those that were read */
} folder;

typedef struct walk {
    cnn_listing *listing;
    int label;
    bool follow_links;
    folder *folders; /* those before `at` are read, the others are to be */
    size_t count, capacity, at;
} walk;

static cnn_status add_folder(walk *w, const char *parent, size_t length, const char *name) {
    size_t path;
    CNN_TRY(add_path(w->listing, &path, parent, length, name));
    CNN_TRY(make_room(&w->folders, w->count, 1, &w->capacity, sizeof *w->folders));
    w->folders[w->count++] = (folder){.path = path, .first = w->listing->count};
    return CNN_OK;
}

/* Only links lead to a folder a second time. */
static bool was_read(const walk *w, const struct stat *info) {
    for (size_t i = 0; i < w->at && w->follow_links; i++)
        if (w->folders[i].inode == info->st_ino && w->folders[i].device == info->st_dev) return true;
    return false;
}

static cnn_status add_entry(walk *w, size_t parent, DIR *dir, const struct dirent *entry) {
    const char *path = w->listing->text + parent;
    kind is = kind_of(dirfd(dir), entry);
    if (is == A_FOLDER || (is == A_LINKED_FOLDER && w->follow_links))
        return add_folder(w, path, strlen(path), entry->d_name);
    if (is != A_FILE || !is_picture_name(entry->d_name)) return CNN_OK;
    size_t file;
    CNN_TRY(add_path(w->listing, &file, path, strlen(path), entry->d_name));
    return add_picture(w->listing, file, w->label);
}

static cnn_status read_entries(walk *w, size_t index, DIR *dir) {
    size_t parent = w->folders[index].path;
    const struct dirent *entry;
    struct stat info;
    if (fstat(dirfd(dir), &info) != 0) return fail_read(w->listing->text + parent, errno);
    if (was_read(w, &info)) return CNN_OK;
    w->folders[index].device = info.st_dev;
    w->folders[index].inode = info.st_ino;
    while ((entry = next_entry(dir))) CNN_TRY(add_entry(w, parent, dir, entry));
    return errno == 0 ? CNN_OK : fail_read(w->listing->text + parent, errno);
}

static int compare_folders(const void *left, const void *right, void *text) {
    return strcmp((char *)text + ((const folder *)left)->path, (char *)text + ((const folder *)right)->path);
}

static void sort_folders(const walk *w, size_t from) {
    if (w->count > from)
        qsort_r(w->folders + from, w->count - from, sizeof *w->folders, compare_folders, w->listing->text);
}

static cnn_status read_folder(walk *w) {
    size_t first = w->listing->count, known = w->count;
    const char *path = w->listing->text + w->folders[w->at].path;
    DIR *dir = opendir(path);
    if (!dir) return fail_read(path, errno);
    cnn_status status = read_entries(w, w->at, dir);
    closedir(dir);
    w->folders[w->at].first = first;
    w->folders[w->at].count = w->listing->count - first;
    sort_pictures(w->listing, first);
    sort_folders(w, known);
    if (status == CNN_OK && cnn_interrupted()) return cnn_fail(CNN_ERROR_INTERRUPTED, "%s: interrupted", who);
    return status;
}

/* Puts the pictures, which lie in the order in which folders were read, into that of the folders' paths. */
static cnn_status order_folders(walk *w, size_t first) {
    cnn_listing *listing = w->listing;
    size_t size = listing->count * sizeof(cnn_picture), filled = first;
    if (w->count < 2 || listing->count == first) return CNN_OK;
    cnn_picture *ordered = cnn_malloc(size);
    if (!ordered) return cnn_fail_memory(size);
    sort_folders(w, 0);
    memcpy(ordered, listing->pictures, first * sizeof *ordered);
    for (size_t i = 0; i < w->count; i++) {
        const folder *f = &w->folders[i];
        if (f->count > 0) memcpy(ordered + filled, listing->pictures + f->first, f->count * sizeof *ordered);
        filled += f->count;
    }
    cnn_free(listing->pictures);
    listing->pictures = ordered;
    listing->capacity = listing->count;
    return CNN_OK;
}

cnn_status cnn_list_pictures(cnn_listing *listing, const char *path, int label, bool follow_links) {
    walk w = {.listing = listing, .label = label, .follow_links = follow_links};
    size_t first = listing->count, length = length_without_slashes(path);
    cnn_status status = add_folder(&w, path, length, "");
    /* That left a slash at the end, which is one too many but in the root. */
    if (status == CNN_OK && length > 1) listing->text[listing->length - 2] = '\0';
    for (; status == CNN_OK && w.at < w.count; w.at++) status = read_folder(&w);
    if (status == CNN_OK) status = order_folders(&w, first);
    cnn_free(w.folders);
    return status;
}

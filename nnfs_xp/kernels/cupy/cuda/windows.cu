// Windows over pictures of shape (batch, height, width, channels): `Window` of
// nnfs_xp/kernels/standard/windows.py, with the pictures' sizes, and how many windows lie in each.
// From one pixel to the next are `pitch` elements, which may be more than the channels that are
// worked on.

#define WINDOW_ARGUMENTS                                                                     \
    int height, int width, int channels, int pitch, int down, int across, int taps_down,    \
        int taps_across, int stride_down, int stride_across, int top, int left,             \
        int dilation_down, int dilation_across
#define WINDOW                                                                               \
    {height,        width, channels, pitch,         down, across, taps_down, taps_across,    \
     stride_down, stride_across, top, left, dilation_down, dilation_across}

struct Window {
    int height, width, channels, pitch, down, across, taps_down, taps_across, stride_down,
        stride_across, top, left, dilation_down, dilation_across;

    // The row, and the column, at which a tap of a window looks, or none of the picture: -1.
    __device__ __forceinline__ int row(int window, int tap) const {
        const int at = window * stride_down + tap * dilation_down - top;
        return at < height ? at : -1;
    }
    __device__ __forceinline__ int column(int window, int tap) const {
        const int at = window * stride_across + tap * dilation_across - left;
        return at < width ? at : -1;
    }

    // The row of windows, and the column of them, whose tap looks at a row or column, or -1.
    __device__ __forceinline__ int window_down(int row, int tap) const {
        return window_at(row + top - tap * dilation_down, stride_down, down);
    }
    __device__ __forceinline__ int window_across(int column, int tap) const {
        return window_at(column + left - tap * dilation_across, stride_across, across);
    }
    static __device__ __forceinline__ int window_at(int place, int stride, int windows) {
        if (place < 0) return -1;
        const int window = place / stride;
        return window * stride == place && window < windows ? window : -1;
    }

    // How many rows, and columns, of the picture a row or column of windows sees.
    __device__ __forceinline__ int rows_seen(int window) const {
        return seen(window * stride_down - top, taps_down, dilation_down, height);
    }
    __device__ __forceinline__ int columns_seen(int window) const {
        return seen(window * stride_across - left, taps_across, dilation_across, width);
    }
    static __device__ __forceinline__ int seen(int first, int taps, int dilation, int length) {
        const int begin = first < 0 ? (dilation - 1 - first) / dilation : 0;
        if (first >= length) return 0;
        const int end = (length - 1 - first) / dilation + 1;
        return max(0, min(taps, end) - begin);
    }

    __device__ __forceinline__ Int pixel(Int picture, int row, int column) const {
        return (picture * height + row) * width + column;
    }
    __device__ __forceinline__ Int window(Int picture, int row, int column) const {
        return (picture * down + row) * across + column;
    }
};

// Where the first of N channels of a pixel, or of a window, stands.
struct Place {
    Int picture;
    int row, column, channel;
};

template <int N>
__device__ __forceinline__ Place place_of(Word index, int rows, int columns, int channels) {
    const Word parts = channels / N, pixel = index / parts, line = pixel / columns;
    const Word picture = line / rows;
    return {
        (Int)picture, (int)(line - picture * rows), (int)(pixel - line * columns),
        (int)(index - pixel * parts) * N
    };
}
